"""What PyTorch gives for weights by formula: writes expected.npz and the .pth files beside it. Run once.

  pip install torch==2.13.0 numpy && python tests/torch_reference/make.py

The networks below are written anew after the papers, with the module names of RepDistiller and mdistiller (CIFAR) and
of torchvision and timm (ImageNet), so that their state_dicts have the keys of the published files.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from formula import array, image
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent


def conv(inputs, outputs, size, stride=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class Block(nn.Module):
    """torchvision's BasicBlock or Bottleneck; gives the sum before the last ReLU."""

    def __init__(self, inputs, channels, stride, bottleneck):
        super().__init__()
        outputs = channels * 4 if bottleneck else channels
        self.bottleneck = bottleneck
        self.conv1 = conv(inputs, channels, 1) if bottleneck else conv(inputs, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv(channels, channels, 3, stride if bottleneck else 1)
        self.bn2 = nn.BatchNorm2d(channels)
        if bottleneck:
            self.conv3 = conv(channels, outputs, 1)
            self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            out = self.bn3(self.conv3(F.relu(out)))
        return out + (x if self.downsample is None else self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, units, channels, classes, bottleneck=False, large=False):
        super().__init__()
        self.conv1 = conv(3, channels[0], 7, 2) if large else conv(3, channels[0], 3)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        inputs, self.stages = channels[0], len(units)
        for stage, (count, width) in enumerate(zip(units, channels[1:], strict=True), start=1):
            blocks = nn.Sequential()
            for number in range(count):
                blocks.append(Block(inputs, width, 2 if stage > 1 and number == 0 else 1, bottleneck))
                inputs = width * 4 if bottleneck else width
            setattr(self, f'layer{stage}', blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        out = {'stem': self.maxpool(F.relu(self.bn1(self.conv1(x))))}
        x = out['stem']
        for stage in range(1, self.stages + 1):
            for block in getattr(self, f'layer{stage}'):
                pre = block(x)
                x = F.relu(pre)
            out |= {f'block{stage}_pre': pre, f'block{stage}': x}
        out['features'] = x.mean((2, 3))
        out['logits'] = self.fc(out['features'])
        return out


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs, 3)
        self.convShortcut = conv(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x):
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + (x if self.convShortcut is None else self.convShortcut(active))


class Group(nn.Module):
    def __init__(self, count, inputs, outputs, stride):
        super().__init__()
        blocks = [WideBlock(outputs if i else inputs, outputs, 1 if i else stride) for i in range(count)]
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, depth, width, classes):
        super().__init__()
        self.conv1 = conv(3, 16, 3)
        count = (depth - 4) // 6
        self.block1 = Group(count, 16, 16 * width, 1)
        self.block2 = Group(count, 16 * width, 32 * width, 2)
        self.block3 = Group(count, 32 * width, 64 * width, 2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, classes)

    def forward(self, x):
        out = {'stem': self.conv1(x)}
        out['block1'] = self.block1(out['stem'])
        out['block2'] = self.block2(out['block1'])
        out['block3'] = self.block3(out['block2'])
        out['block1_pre'] = self.block2.layer[0].bn1(out['block1'])
        out['block2_pre'] = self.block3.layer[0].bn1(out['block2'])
        out['block3_pre'] = self.bn1(out['block3'])
        out['features'] = F.relu(out['block3_pre']).mean((2, 3))
        out['logits'] = self.fc(out['features'])
        return out


class VGG(nn.Module):
    def __init__(self, blocks, classes):
        super().__init__()
        inputs = 3
        for number, widths in enumerate(blocks):
            layers = []
            for width in widths:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            setattr(self, f'block{number}', nn.Sequential(*layers[:-1]))
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        out, names = {}, ('stem', 'block1', 'block2', 'block3', 'block4')
        for number, name in enumerate(names):
            if 1 <= number <= 3:
                x = F.max_pool2d(x, 2, 2)
            out[f'{name}_pre'] = getattr(self, f'block{number}')(x)
            x = out[name] = F.relu(out[f'{name}_pre'])
        out['features'] = x.mean((2, 3))
        out['logits'] = self.classifier(out['features'])
        return out


NETWORKS = {
    'cifar_resnet': (ResNet((2, 2, 2), (4, 4, 6, 8), 5), 16),
    'wide_resnet': (WideResNet(16, 1, 5), 16),
    'vgg': (VGG(((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)), 5), 16),
    'resnet_basic': (ResNet((1, 2, 1, 1), (4, 4, 6, 8, 8), 5, large=True), 64),
    'resnet_bottleneck': (ResNet((1, 2, 1, 1), (4, 4, 6, 8, 8), 5, bottleneck=True, large=True), 64),
}


def save(name, value, zip_file=True):
    torch.save(value, HERE / name, _use_new_zipfile_serialization=zip_file)


def main():
    stored = {}
    for name, (network, size) in NETWORKS.items():
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        formed = {
            key: torch.from_numpy(array(key, shape)) if shape else torch.tensor(7) for key, shape in shapes.items()
        }
        network.load_state_dict(formed)
        images = torch.from_numpy(image(size).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            out = network.eval()(images)
        # Maps are stored as their means over space; of the first image, also over channels.
        for key, value in out.items():
            value = value.numpy()
            if value.ndim == 4:
                stored[f'{name}/{key}/space'] = value.mean((2, 3))
                stored[f'{name}/{key}/channels'] = value[0].mean(0)
            else:
                stored[f'{name}/{key}'] = value
        stored[f'{name}/shapes'] = np.array(json.dumps(shapes))
    np.savez_compressed(HERE / 'expected.npz', **stored)
    state = NETWORKS['cifar_resnet'][0].state_dict()
    state['fc.weight'] = state['fc.weight'].T.contiguous().T  # Strides of its own.
    optimizer = {'state': {}, 'param_groups': [{'lr': 0.05, 'params': [0]}]}
    save('zipped.pth', {'epoch': 240, 'model': state, 'best_acc': torch.tensor(72.3), 'optimizer': optimizer})
    save('legacy.pth', nn.DataParallel(NETWORKS['cifar_resnet'][0]).state_dict(), zip_file=False)
    save('half.pth', {key: v.bfloat16() if v.is_floating_point() else v for key, v in state.items()})
    save('with_code.pth', {'opt': argparse.Namespace(lr=0.05), 'model': {'fc.bias': state['fc.bias']}})


if __name__ == '__main__':
    main()
