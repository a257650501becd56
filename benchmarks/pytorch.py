"""Compares the same distillation step, with the same shapes, in kd_jax and in plain PyTorch: images per second.

  pip install torch            # a CPU build is enough; also installed by the extra kd_jax[benchmarks]
  python -m benchmarks.pytorch --pair=mlp --out=benchmarks/results/pytorch_mlp.json
  python -m benchmarks.pytorch --pair=resnet --out=benchmarks/results/pytorch_resnet.json

'live' runs the teacher's forward pass in every step; 'cached' reads its logits from memory. Both sides hold the data in
memory, gather each batch from it, and use all cores. Teacher and student have random weights; the time of a step does
not depend on them.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import chunk, measure
from kd_jax.arrays.batch_names import RECORDED


@dataclasses.dataclass(frozen=True)
class Pair:
    """The networks that both sides train: `config` for kd_jax, `teacher` and `student` for PyTorch."""

    config: dict[str, Any]
    teacher: Callable[[], nn.Module]
    student: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    image: tuple[int, ...]
    num_classes: int
    batch_size: int
    steps: int


def torch_mlp(*groups: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(groups):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


def torch_resnet(depth: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for stage, outputs in enumerate((16, 32, 64)):
        for block in range((depth - 2) // 6):
            layers.append(Block(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 100))


def kd_config(teacher: dict, student: dict, t: float, hard: float, optimizer: dict) -> dict[str, Any]:
    return {
        'networks': {'teacher': dict(teacher, update='frozen'), 'student': student},
        'terms': {
            'hard': dict(loss='cross_entropy', logits='student.logits', labels='batch.label', weight=hard),
            'soft': dict(loss='kd', student='student.logits', target='teacher.logits', t=t, weight=1.0 - hard),
        },
        'optimizer': optimizer,
    }


def pairs() -> dict[str, Pair]:
    mlp, resnet = dict(model='mlp'), dict(model='cifar_resnet', num_classes=100)
    return {
        'mlp': Pair(
            kd_config(dict(mlp, hidden=(1200, 1200)), dict(mlp, hidden=(800, 800)), 20.0, 0.1,
                      dict(name='adam', learning_rate=1e-3)),
            lambda: torch_mlp(784, 1200, 1200, 10), lambda: torch_mlp(784, 800, 800, 10),
            lambda net: torch.optim.Adam(net.parameters(), lr=1e-3),
            image=(28, 28), num_classes=10, batch_size=128, steps=40,
        ),
        'resnet': Pair(
            kd_config(dict(resnet, depth=56), dict(resnet, depth=20), 4.0, 0.1,
                      dict(name='sgd', learning_rate=0.05, momentum=0.9, weight_decay=5e-4)),
            lambda: torch_resnet(56), lambda: torch_resnet(20),
            lambda net: torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4),
            image=(32, 32, 3), num_classes=100, batch_size=64, steps=6,
        ),
    }  # fmt: skip


def in_kd_jax(pair: Pair, cached: bool) -> Callable[[], Any]:
    arrays: dict[str, Any] = chunk.random_data(pair.image, pair.num_classes)
    if cached:
        logits = np.random.default_rng(2).normal(size=(1, chunk.EXAMPLES, pair.num_classes)).astype(np.float32)
        arrays[RECORDED] = {'teacher': {'logits': logits}}
    steps = chunk.one_by_one if len(pair.image) == 3 else chunk.steps_of
    return steps(pair.config, arrays, chunk.random_positions(pair.steps, pair.batch_size), pair.num_classes)


def in_pytorch(pair: Pair, cached: bool) -> Callable[[], Any]:
    arrays = chunk.random_data(pair.image, pair.num_classes)
    teacher, student = pair.teacher().eval(), pair.student().train()
    optimizer = pair.optimizer(student)
    t, hard = (pair.config['terms'][name][key] for name, key in (('soft', 't'), ('hard', 'weight')))
    image = torch.from_numpy(arrays['image'])
    if image.ndim == 4:
        image = image.permute(0, 3, 1, 2).contiguous()
    label = torch.from_numpy(arrays['label']).long()
    positions = torch.from_numpy(chunk.random_positions(pair.steps, pair.batch_size))
    logits = torch.randn(chunk.EXAMPLES, pair.num_classes)

    def train():
        for rows in positions:
            x = image[rows].float() / 255
            if cached:
                target = logits[rows]
            else:
                with torch.no_grad():
                    target = teacher(x)
            out = student(x)
            soft = F.kl_div(F.log_softmax(out / t, 1), F.softmax(target / t, 1), reduction='batchmean') * t * t
            loss = hard * F.cross_entropy(out, label[rows]) + (1 - hard) * soft
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return train


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--pair', choices=sorted(pairs()), default='mlp')
    args = parser.parse_args()
    pair = pairs()[args.pair]
    sides = {
        f'{name}, {kind}': build(pair, kind == 'cached')
        for kind in ('live', 'cached')
        for name, build in (('kd_jax', in_kd_jax), ('PyTorch', in_pytorch))
    }
    seconds = measure.in_turn(sides, args.repeats)
    rate = {name: pair.steps * pair.batch_size / measure.median(values) for name, values in seconds.items()}
    rows = [
        {'side': name, 'images/s': value, 'over PyTorch, live': value / rate['PyTorch, live'],
         'over PyTorch, same teacher': value / rate[name.replace('kd_jax', 'PyTorch')]}
        for name, value in rate.items()
    ]  # fmt: skip
    title = f'{args.pair}: one distillation step, batch {pair.batch_size}, {torch.get_num_threads()} threads'
    measure.show(title, rows, args.out, seconds=seconds, torch=torch.__version__)


if __name__ == '__main__':
    main()
