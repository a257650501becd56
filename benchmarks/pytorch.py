"""Compares the same distillation step, with the same shapes, in kd_jax and in plain PyTorch: images per second.

  pip install torch            # a CPU build is enough; also installed by the extra kd_jax[benchmarks]
  python -m benchmarks.pytorch --pair=mlp --out=benchmarks/results/pytorch_mlp.json
  python -m benchmarks.pytorch --pair=resnet --out=benchmarks/results/pytorch_resnet.json

'live' runs the teacher's forward pass in every step; 'cached' reads its logits from memory. Both sides hold the data in
memory, gather each batch from it, and use all cores. Teacher and student have random weights; the time of a step does
not depend on them.
"""

import importlib
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import chunk, measure, pairs
from benchmarks.pairs import Pair, in_kd_jax

PAIRS = {'mlp': pairs.mlp, 'resnet': pairs.resnet}


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


def torch_resnet(depth: int, num_classes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for stage, outputs in enumerate((16, 32, 64)):
        for block in range((depth - 2) // 6):
            layers.append(Block(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))


def torch_network(options: Mapping[str, Any], image: tuple[int, ...]) -> nn.Module:
    """The network of a kd_jax config in PyTorch."""
    if options['model'] == 'mlp':
        return torch_mlp(math.prod(image), *options['hidden'], options['num_classes'])
    if options['model'] == 'cifar_resnet':
        return torch_resnet(options['depth'], options['num_classes'])
    return getattr(importlib.import_module('torchvision.models'), f'resnet{options["depth"]}')()


def torch_optimizer(options: Mapping[str, Any], network: nn.Module, fused: bool) -> torch.optim.Optimizer:
    given = {name: value for name, value in options.items() if name not in ('name', 'learning_rate')}
    kind = {'adam': torch.optim.Adam, 'sgd': torch.optim.SGD}[options['name']]
    return kind(network.parameters(), lr=options['learning_rate'], fused=fused, **given)


def in_pytorch(pair: Pair, cached: bool, device: str = 'cpu', compiled: bool = False) -> Callable[[], Any]:
    """A function that trains `pair.steps` steps and waits for them, with autocast where the pair computes in bfloat16.

    Args:
      pair: what to train.
      cached: whether the teacher's logits are read from memory.
      device: 'cpu', or 'cuda': images lie there in memory as channels_last, and the optimizer is a fused one.
      compiled: whether both networks and the loss are compiled with `torch.compile`.
    """
    arrays, on_card = chunk.random_data(pair.image, pair.num_classes), device != 'cpu'
    layout = torch.channels_last if on_card and len(pair.image) == 3 else torch.contiguous_format
    networks = [torch_network(pair.config['networks'][name], pair.image) for name in ('teacher', 'student')]
    teacher, student = (network.to(device, memory_format=layout) for network in networks)
    teacher.eval()
    optimizer = torch_optimizer(pair.config['optimizer'], student.train(), on_card)
    t, hard = (pair.config['terms'][name][key] for name, key in (('soft', 't'), ('hard', 'weight')))
    image = torch.from_numpy(arrays['image'])
    if image.ndim == 4:
        image = image.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    image, label = image.to(device), torch.from_numpy(arrays['label']).long().to(device)
    positions = torch.from_numpy(chunk.random_positions(pair.steps, pair.batch_size)).to(device)
    logits = torch.randn(chunk.EXAMPLES, pair.num_classes, device=device)
    low = pair.config.get('compute_dtype') == 'bfloat16'

    def objective(x, label, target):
        with torch.autocast(device, torch.bfloat16, enabled=low):
            out = student(x)
        out = out.float()
        soft = F.kl_div(F.log_softmax(out / t, 1), F.softmax(target / t, 1), reduction='batchmean') * t * t
        return hard * F.cross_entropy(out, label) + (1 - hard) * soft

    def taught(x):
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=low):
            return teacher(x).float()

    if compiled:
        objective, taught = torch.compile(objective), torch.compile(taught)

    def train():
        for rows in positions:
            x = (image[rows].float() / 255).contiguous(memory_format=layout)
            loss = objective(x, label[rows], logits[rows] if cached else taught(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return train


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--pair', choices=sorted(PAIRS), default='mlp')
    args = parser.parse_args()
    pair = PAIRS[args.pair]()
    sides = {
        f'{name}, {kind}': build(pair, kind == 'cached')
        for kind in ('live', 'cached')
        for name, build in (('kd_jax', lambda *given: in_kd_jax(*given).run), ('PyTorch', in_pytorch))
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
