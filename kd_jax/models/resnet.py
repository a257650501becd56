"""Residual networks of He et al. (2016), for images of 32 x 32 (section 4.2) and of 224 x 224 (table 1)."""

import re
from collections.abc import Sequence

import flax.linen as nn
import jax

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Repeats
from kd_jax.models.layers import batch_norm, conv, pooled, uniform_fan_in, with_channels

LARGE = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class Unit(nn.Module):
    """A residual unit: two 3 x 3 convolutions, or a bottleneck: 1 x 1, 3 x 3, and 1 x 1 with four times `channels`.

    The first 3 x 3 convolution has the stride. Returns the sum before the last ReLU.
    """

    channels: Count
    stride: int = 1
    bottleneck: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layers = [(3, self.stride, 1), (3, 1, 1)]
        if self.bottleneck:
            layers = [(1, 1, 1), (3, self.stride, 1), (1, 1, 4)]
        out, shortcut = x, x
        for number, (size, stride, factor) in enumerate(layers, start=1):
            out = conv(self.channels * factor, size, stride, name=f'conv{number}')(out)
            out = batch_norm(train, name=f'bn{number}')(out)
            out = nn.relu(out) if number < len(layers) else out
        if x.shape != out.shape:
            shortcut = conv(out.shape[-1], 1, self.stride, name='shortcut_conv')(x)
            shortcut = batch_norm(train, name='shortcut_bn')(shortcut)
        return out + shortcut


class ResNet(nn.Module):
    """Stages of residual units; each stage except the first halves height and width.

    Attributes:
      units: number of residual units in each stage.
      channels: channels of the stem and of each stage (the output of a bottleneck has four times as many).
      num_classes: number of classes.
      bottleneck: whether units have three convolutions.
      large_images: whether the stem is a 7 x 7 convolution of stride 2 and 3 x 3 max-pooling of stride 2; otherwise it
        is one 3 x 3 convolution.
    """

    units: Sequence[int]
    channels: Sequence[int]
    num_classes: Count
    bottleneck: bool = False
    large_images: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """The output of each stage before and after its last ReLU, and of the layers after it.

        Args:
          x: [batch, height, width(, channels)].
        Returns:
          stem, block1_pre, block1, block2_pre, ... [batch, h, w, c]; features [batch, c]; logits [batch, num_classes].
        """
        large = self.large_images
        x = conv(self.channels[0], 7 if large else 3, 2 if large else 1, name='stem_conv')(with_channels(x))
        x = nn.relu(batch_norm(train, name='stem_bn')(x))
        out = {'stem': nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))) if large else x}
        x = out['stem']
        for stage, (units, channels) in enumerate(zip(self.units, self.channels[1:], strict=True), start=1):
            for number in range(units):
                stride = 2 if stage > 1 and number == 0 else 1
                pre = Unit(channels, stride, self.bottleneck, name=f'block{stage}_{number}')(x, train)
                x = nn.relu(pre)
            out[f'block{stage}_pre'], out[f'block{stage}'] = pre, x
        out['features'] = pooled(x)
        out['logits'] = nn.Dense(self.num_classes, kernel_init=uniform_fan_in, name='head')(out['features'])
        return out

    @staticmethod
    def torch_name(module: str) -> str:
        """Turns 'block1_0.conv2' into 'layer1.0.conv2', the name in RepDistiller, mdistiller, torchvision and timm."""
        module = re.sub(r'^block(\d)_(\d+)', r'layer\1.\2', module)
        for ours, theirs in (('stem_', ''), ('shortcut_conv', 'downsample.0'), ('shortcut_bn', 'downsample.1')):
            module = module.replace(ours, theirs)
        return {'conv': 'conv1', 'bn': 'bn1', 'head': 'fc'}.get(module, module)


def cifar_resnet(
    *, depth: Repeats = 20, channels: Sequence[int] = (16, 16, 32, 64), num_classes: Count = 100
) -> ResNet:
    """A residual network for images of 32 x 32: three stages of (depth - 2) / 6 units each.

    Args:
      depth: 6 n + 2, at least 8.
      channels: channels of the stem and of the three stages; (32, 64, 128, 256) gives 'resnet8x4' and 'resnet32x4' of
        Tian et al. (2020), "Contrastive representation distillation".
      num_classes: number of classes.
    Raises:
      UserError: `depth` is not of this form, or there are not four channels.
    """
    if depth < 8 or (depth - 2) % 6:
        raise UserError(f'depth is {depth!r}, but a CIFAR ResNet has 6 n + 2 layers: 8, 14, 20, ...')
    if len(channels) != 4:
        raise UserError(f'channels is {channels!r}, but needs four numbers: for the stem and for three stages.')
    return ResNet((((depth - 2) // 6),) * 3, tuple(channels), num_classes)


def resnet(*, depth: Repeats = 50, width: Count = 1, num_classes: Count = 1000) -> ResNet:
    """A residual network for images of 224 x 224; the 3 x 3 convolution has the stride, as in torchvision and timm.

    Args:
      depth: 18 or 34 (two convolutions per unit), or 50, 101 or 152 (bottlenecks).
      width: factor for the channels of every layer; depth 152 and width 2 give the "R152x2" of Beyer et al. (2022).
      num_classes: number of classes.
    Raises:
      UserError: another depth.
    """
    if depth not in LARGE:
        raise UserError(f'depth is {depth!r}, but an ImageNet ResNet has {", ".join(map(str, LARGE))} layers.')
    channels = tuple(width * base for base in (64, 64, 128, 256, 512))
    return ResNet(LARGE[depth], channels, num_classes, bottleneck=depth >= 50, large_images=True)
