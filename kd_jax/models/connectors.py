"""Networks between a student and a teacher: a connector is a network of the recipe whose input is an activation.

They are trained with the student and dropped after it. Maps are [batch, height, width, channels]; where a layer acts on
channels alone (a 1 x 1 convolution is a dense layer of the last axis) vectors [batch, dim] will do.
"""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.models.layers import batch_norm, conv, pooled

Activations = dict[str, jax.Array]


class Connector(nn.Module):
    """A student's activation brought to the shape of a teacher's: FitNets' regressor, OFD's and AB's connector.

    Attributes:
      channels: the teacher's.
      size: height and width to come to, by average pooling or by linear interpolation, (2, 4) or one number for both;
        0 for as they are.
      batch_norm: whether it ends in batch norm, as in AB and OFD.
      relu: whether it ends in a ReLU.
    """

    channels: int
    size: int | Sequence[int] = 0
    batch_norm: bool = False
    relu: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c] or [batch, dim]. Returns: features, [batch, *size, channels], or as x."""
        if self.size:
            sizes = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
            if len(sizes) != 2 or min(sizes) < 1:
                raise UserError(f'size is {self.size}, but it must be a height and a width, 1 or more')
            x = resized(x, sizes)
        x = nn.Dense(self.channels, use_bias=not self.batch_norm, name='regressor')(x)
        x = batch_norm(train, name='norm')(x) if self.batch_norm else x
        return {'features': nn.relu(x) if self.relu else x}


class Variational(nn.Module):
    """VID's Gaussian: a mean by three dense layers, and a trained variance for each channel.

    Ahn et al. (2019), section 2: variance = softplus(alpha) + 1e-5, at first `initial`, whatever the input.

    Attributes:
      channels: the teacher's.
      initial: the variance to begin with.
    """

    channels: int
    initial: float = 5.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [..., dim]. Returns: mean and variance, [..., channels]."""
        for number in (1, 2):
            x = nn.relu(nn.Dense(self.channels, kernel_init=nn.initializers.he_normal(), name=f'dense{number}')(x))
        mean = nn.Dense(self.channels, name='mean')(x)
        start = jnp.log(jnp.expm1(self.initial - 1e-5))
        alpha = self.param('alpha', nn.initializers.constant(start), (self.channels,))
        return {'mean': mean, 'variance': jnp.broadcast_to(nn.softplus(alpha) + 1e-5, mean.shape)}


class Paraphraser(nn.Module):
    """FT's autoencoder of a teacher's map: its code is the factor (Kim et al. 2018, section 3.1).

    Attributes:
      factor: channels of the factor, half the teacher's in the paper.
    """

    factor: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c]. Returns: factor, [batch, h, w, factor]; reconstruction, as x."""
        channels = x.shape[-1]
        code = _convolved(x, (channels, self.factor, self.factor), 'encode')
        return {'factor': code, 'reconstruction': _convolved(code, (self.factor, channels, channels), 'decode')}


class Translator(nn.Module):
    """FT's network from a student's map to a factor (Kim et al. 2018, section 3.2).

    Attributes:
      factor: channels of the factor.
    """

    factor: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c]. Returns: factor, [batch, h, w, factor]."""
        return {'factor': _convolved(x, (x.shape[-1], self.factor, self.factor), 'encode')}


class Fusion(nn.Module):
    """ReviewKD's attention-based fusion: each stage of a student with all deeper ones (Chen et al. 2021, section 3).

    From the deepest on, a stage and what came of the next deeper one, enlarged, are weighed position by position by a
    sigmoid of both; a convolution of the sum is to match the teacher's stage.

    Attributes:
      channels: the teacher's, of each stage.
      width: channels of the fusion.
    """

    channels: Sequence[int]
    width: int = 64

    @nn.compact
    def __call__(self, *stages: jax.Array, train: bool = False) -> Activations:
        """Args: stages: maps, from the shallowest on. Returns: stage1, ..., as many, with the teacher's channels."""
        if len(stages) != len(self.channels):
            raise UserError(f'it reads {len(stages)} stages, but has channels for {len(self.channels)}')
        out, deeper = {}, None
        for number in range(len(stages), 0, -1):
            x = nn.Dense(self.width, use_bias=False, name=f'in{number}')(stages[number - 1])
            x = batch_norm(train, name=f'in_norm{number}')(x)
            if deeper is not None:
                deeper = jax.image.resize(deeper, x.shape, 'nearest')
                weights = nn.sigmoid(nn.Dense(2, name=f'attention{number}')(jnp.concatenate([x, deeper], axis=-1)))
                x = x * weights[..., :1] + deeper * weights[..., 1:]
            deeper = x
            y = conv(self.channels[number - 1], 3, name=f'out{number}')(x)
            out[f'stage{number}'] = batch_norm(train, name=f'out_norm{number}')(y)
        return out


class MaskedGenerator(nn.Module):
    """MGD: a teacher's map generated from a student's, parts of which are hidden (Yang et al. 2022, section 3).

    Attributes:
      channels: the teacher's.
      share: of what is hidden in training (lambda in the paper: 0.15 for classes, 0.65 for positions).
      over: 'positions' or 'channels'; the paper hides channels in classification.
    """

    channels: int
    share: float = 0.5
    over: Literal['positions', 'channels'] = 'positions'

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c]. Returns: features, [batch, h, w, channels]."""
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, name='align')(x)
        if train:
            shape = (*x.shape[:3], 1) if self.over == 'positions' else (x.shape[0], 1, 1, self.channels)
            x = x * jax.random.bernoulli(self.make_rng('dropout'), 1.0 - self.share, shape)
        x = nn.relu(conv(self.channels, 3, bias=True, name='conv1')(x))
        return {'features': conv(self.channels, 3, bias=True, name='conv2')(x)}


class Projector(nn.Module):
    """SimKD's projector, on whose output the teacher's classifier is reused (Chen et al. 2022, section 3).

    Attributes:
      channels: the teacher's.
      reduction: of the channels in between.
    """

    channels: int
    reduction: int = 2

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c]. Returns: map, [batch, h, w, channels]; features, its mean over space."""
        middle = max(1, self.channels // self.reduction)
        for number, (channels, size) in enumerate(((middle, 1), (middle, 3), (self.channels, 1)), start=1):
            x = conv(channels, size, name=f'conv{number}')(x)
            x = nn.relu(batch_norm(train, name=f'norm{number}')(x))
        return {'map': x, 'features': pooled(x)}


class Classifier(nn.Module):
    """A linear classifier of features; frozen, with init='run:teacher' and part='head', it is a teacher's own.

    Attributes:
      num_classes: size of the output.
    """

    num_classes: int = 10

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, dim], or a map, whose mean over space is taken. Returns: logits, [batch, num_classes]."""
        return {'logits': nn.Dense(self.num_classes, name='head')(pooled(x) if x.ndim == 4 else x)}


class Gate(nn.Module):
    """Weights of several teachers for each example.

    Attributes:
      teachers: how many.
    """

    teachers: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, dim]. Returns: weights, [batch, teachers], of sum 1; alike at the start."""
        return {'weights': nn.softmax(nn.Dense(self.teachers, kernel_init=nn.initializers.zeros, name='gate')(x))}


class GatedAverage(nn.Module):
    """The gate of ONE: the branches' logits averaged with weights of each example (Lan et al. 2018, equation 4)."""

    @nn.compact
    def __call__(self, weights: jax.Array, *logits: jax.Array, train: bool = False) -> Activations:
        """Args: weights: [batch, branches]; logits: of each branch, [batch, num_classes]. Returns: logits, as each."""
        if weights.shape[-1] != len(logits):
            raise UserError(f'there are {len(logits)} branches, but {weights.shape[-1]} weights')
        return {'logits': jnp.einsum('bn,nbc->bc', weights, jnp.stack(logits))}


class Noise(nn.Module):
    """Noisy teachers: in training the logits of some examples are multiplied by 1 + Gaussian noise.

    Sau & Balasubramanian (2016), section 3. It has no parameters; it is declared as a trained network, for those alone
    see randomness.

    Attributes:
      sd: standard deviation of the noise.
      share: of the examples that are disturbed.
    """

    sd: float = 0.5
    share: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: logits, [..., batch, num_classes]. Returns: logits, as x."""
        if train:
            chosen, drawn = jax.random.split(self.make_rng('dropout'))
            disturbed = jax.random.bernoulli(chosen, self.share, (*x.shape[:-1], 1))
            x = x * (1.0 + self.sd * disturbed * jax.random.normal(drawn, x.shape, x.dtype))
        return {'logits': x}


def resized(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """A map [batch, h, w, c] at another size: means over blocks where they divide it, else linear interpolation."""
    if x.ndim != 4:
        raise UserError(f'only a map [batch, height, width, channels] has a size, not {list(x.shape)}')
    if x.shape[1] % size[0] == x.shape[2] % size[1] == 0:
        return nn.avg_pool(x, window := (x.shape[1] // size[0], x.shape[2] // size[1]), window)
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), 'linear')


def _convolved(x: jax.Array, channels: Sequence[int], name: str) -> jax.Array:
    for number, size in enumerate(channels, start=1):
        x = nn.leaky_relu(conv(size, 3, bias=True, name=f'{name}{number}')(x), 0.1)
    return x
