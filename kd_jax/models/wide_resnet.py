"""Wide residual networks of Zagoruyko & Komodakis (2016), arXiv 1605.07146."""

import re

import flax.linen as nn
import jax

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Fraction, Repeats
from kd_jax.models.layers import Dropout, batch_norm, conv, pooled, uniform_fan_in, with_channels


class PreActivationUnit(nn.Module):
    """Batch norm, ReLU, 3 x 3 convolution, twice; if the shape changes, the shortcut convolves the activated input."""

    channels: Count
    stride: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns the unit's output, and its input after the first batch norm."""
        normed = batch_norm(train, name='bn1')(x)
        active = nn.relu(normed)
        out = conv(self.channels, 3, self.stride, name='conv1')(active)
        out = nn.relu(batch_norm(train, name='bn2')(out))
        out = Dropout(self.dropout, deterministic=not train)(out)
        out = conv(self.channels, 3, name='conv2')(out)
        same = x.shape == out.shape
        return out + (x if same else conv(self.channels, 1, self.stride, name='shortcut_conv')(active)), normed


class WideResNet(nn.Module):
    """Three stages of (depth - 4) / 6 units with 16, 32 and 64 times `width` channels, for images of 32 x 32.

    Attributes:
      depth: 6 n + 4, at least 10.
      width: factor for the channels.
      num_classes: number of classes.
      dropout: share of the activations between the convolutions of a unit set to zero in training.
    """

    depth: Repeats = 16
    width: Count = 2
    num_classes: Count = 100
    dropout: Fraction = 0.0

    def __post_init__(self):
        if self.depth < 10 or (self.depth - 4) % 6:
            raise UserError(f'depth is {self.depth!r}, but a wide ResNet has 6 n + 4 layers: 10, 16, 22, ...')
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """The outputs of the stages and of the layers after them.

        A stage ends in a sum; the batch norm and ReLU of this sum belong to the next unit. `block1` is the sum, which
        the literature uses as this network's features. `block1_pre` is the input of the next ReLU.

        Args:
          x: [batch, height, width(, channels)].
        Returns:
          stem, block1, block1_pre, ... [batch, h, w, c]; features [batch, c]; logits [batch, num_classes].
        """
        x = conv(16, 3, name='stem_conv')(with_channels(x))
        out = {'stem': x}
        for stage, base in enumerate((16, 32, 64), start=1):
            for number in range((self.depth - 4) // 6):
                stride = 2 if stage > 1 and number == 0 else 1
                unit = PreActivationUnit(base * self.width, stride, self.dropout, name=f'block{stage}_{number}')
                x, normed = unit(x, train)
                if stage > 1 and number == 0:
                    out[f'block{stage - 1}_pre'] = normed
            out[f'block{stage}'] = x
        out['block3_pre'] = batch_norm(train, name='bn')(x)
        out['features'] = pooled(nn.relu(out['block3_pre']))
        out['logits'] = nn.Dense(self.num_classes, kernel_init=uniform_fan_in, name='head')(out['features'])
        return out

    @staticmethod
    def torch_name(module: str) -> str:
        """Turns 'block1_0.conv2' into 'block1.layer.0.conv2', the name in RepDistiller and mdistiller."""
        module = re.sub(r'^block(\d)_(\d+)', r'block\1.layer.\2', module).replace('shortcut_conv', 'convShortcut')
        return {'stem_conv': 'conv1', 'bn': 'bn1', 'head': 'fc'}.get(module, module)
