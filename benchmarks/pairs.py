"""Teacher and student of the distillation steps that are compared with PyTorch, and that step in kd_jax."""

import dataclasses
from typing import Any

import numpy as np

from benchmarks import chunk
from kd_jax.arrays.batch_names import RECORDED


@dataclasses.dataclass(frozen=True)
class Pair:
    """A distillation step: `config` has networks, terms and optimizer; `steps` are one measurement."""

    config: dict[str, Any]
    image: tuple[int, ...]
    num_classes: int
    batch_size: int
    steps: int


def kd_config(teacher: dict, student: dict, t: float, hard: float, optimizer: dict) -> dict[str, Any]:
    return {
        'networks': {'teacher': dict(teacher, update='frozen'), 'student': student},
        'terms': {
            'hard': dict(loss='cross_entropy', logits='student.logits', labels='batch.label', weight=hard),
            'soft': dict(loss='kd', student='student.logits', target='teacher.logits', t=t, weight=1.0 - hard),
        },
        'optimizer': optimizer,
    }


def mlp(batch_size: int = 128, steps: int = 40) -> Pair:
    net = dict(model='mlp', num_classes=10)
    adam = dict(name='adam', learning_rate=1e-3)
    config = kd_config(dict(net, hidden=(1200, 1200)), dict(net, hidden=(800, 800)), 20.0, 0.1, adam)
    return Pair(config, image=(28, 28), num_classes=10, batch_size=batch_size, steps=steps)


def resnet(depths: tuple[int, int] = (56, 20), batch_size: int = 64, steps: int = 6) -> Pair:
    """ResNets for images of 32 x 32."""
    teacher, student = (dict(model='cifar_resnet', depth=depth, num_classes=100) for depth in depths)
    config = kd_config(teacher, student, 4.0, 0.1, sgd(0.05, 5e-4))
    return Pair(config, image=(32, 32, 3), num_classes=100, batch_size=batch_size, steps=steps)


def imagenet(batch_size: int = 256, steps: int = 10) -> Pair:
    """ResNet-50 to ResNet-18 at the shapes of ImageNet."""
    teacher, student = (dict(model='resnet', depth=depth, num_classes=1000) for depth in (50, 18))
    config = kd_config(teacher, student, 1.0, 0.5, sgd(0.1, 1e-4))
    return Pair(config, image=(224, 224, 3), num_classes=1000, batch_size=batch_size, steps=steps)


def sgd(learning_rate: float, weight_decay: float) -> dict[str, Any]:
    return dict(name='sgd', learning_rate=learning_rate, momentum=0.9, weight_decay=weight_decay)


def in_kd_jax(pair: Pair, cached: bool) -> chunk.CompiledSteps:
    """`pair.steps` training steps as kd_jax trains them, in one loop."""
    arrays: dict[str, Any] = chunk.random_data(pair.image, pair.num_classes)
    if cached:
        logits = np.random.default_rng(2).normal(size=(1, chunk.EXAMPLES, pair.num_classes)).astype(np.float32)
        arrays[RECORDED] = {'teacher': {'logits': logits}}
    positions = chunk.random_positions(pair.steps, pair.batch_size)
    return chunk.compiled_steps(pair.config, arrays, positions, pair.num_classes)
