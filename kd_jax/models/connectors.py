"""Networks between a student and a teacher. A connector is a network of the recipe whose input is an activation.

Connectors are trained with the student and discarded afterwards. Maps are [batch, height, width, channels]. A layer
that acts on channels alone (a 1 x 1 convolution is a dense layer over the last axis) also accepts vectors [batch, dim].
"""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Fraction, NonNegative, Positive
from kd_jax.models.layers import batch_norm, conv, pooled

Activations = dict[str, jax.Array]


class Connector(nn.Module):
    """Maps a student's activation to the shape of a teacher's: the regressor of FitNets, the connector of OFD and AB.

    Attributes:
      channels: the teacher's number of channels.
      size: output height and width, as (2, 4) or as one number for both, reached by average pooling or linear
        interpolation; 0 keeps the size.
      batch_norm: whether batch norm follows, as in AB and OFD.
      relu: whether a ReLU comes last.
    """

    channels: Count
    size: int | Sequence[int] = 0
    batch_norm: bool = False
    relu: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch(, h, w), c]. Returns: features, [batch, channels] or [batch, *size, channels]."""
        if self.size:
            sizes = tuple(self.size) if isinstance(self.size, list | tuple) else (self.size, self.size)
            if len(sizes) != 2 or not all(isinstance(one, int) and one >= 1 for one in sizes):
                raise UserError(f'size is {self.size}, but it must be a height and a width, 1 or more')
            x = resized(x, sizes)
        x = nn.Dense(self.channels, use_bias=not self.batch_norm, name='regressor')(x)
        x = batch_norm(train, name='norm')(x) if self.batch_norm else x
        return {'features': nn.relu(x) if self.relu else x}


class Variational(nn.Module):
    """The Gaussian of VID: three dense layers give the mean; each channel has a trained variance.

    Ahn et al. (2019), section 2: variance = softplus(alpha) + 1e-5, independent of the input.

    Attributes:
      channels: the teacher's number of channels.
      initial: the initial variance.
    """

    channels: Count
    initial: Positive = 5.0

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
    """The autoencoder of FT for a teacher's map; its code is the factor (Kim et al. 2018, section 3.1).

    Attributes:
      factor: channels of the factor; half the teacher's channels in the paper.
    """

    factor: Count

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c]. Returns: factor, [batch, h, w, factor]; reconstruction, the shape of x."""
        channels = x.shape[-1]
        code = _convolved(x, (channels, self.factor, self.factor), 'encode')
        return {'factor': code, 'reconstruction': _convolved(code, (self.factor, channels, channels), 'decode')}


class Translator(nn.Module):
    """The network of FT from a student's map to a factor (Kim et al. 2018, section 3.2).

    Attributes:
      factor: channels of the factor.
    """

    factor: Count

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c]. Returns: factor, [batch, h, w, factor]."""
        return {'factor': _convolved(x, (x.shape[-1], self.factor, self.factor), 'encode')}


class Fusion(nn.Module):
    """ReviewKD's attention-based fusion of each student stage with all deeper stages (Chen et al. 2021, section 3).

    It starts at the deepest stage. At every other stage, the fused map of the next deeper stage is enlarged and added
    to the stage's map, each with a weight per position: a sigmoid of both maps. A convolution of the sum gives the map
    to compare with the teacher's stage.

    Attributes:
      channels: the teacher's number of channels at each stage.
      width: number of channels of the fused maps.
    """

    channels: Sequence[int]
    width: Count = 64

    @nn.compact
    def __call__(self, *stages: jax.Array, train: bool = False) -> Activations:
        """Args: stages: maps, shallowest first. Returns: stage1, stage2, ...: one map per stage, with `channels`."""
        if len(stages) != len(self.channels):
            raise UserError(f'the network reads {len(stages)} stages, but has channels for {len(self.channels)}')
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
    """MGD: generates a teacher's map from a student's map that is partly masked (Yang et al. 2022, section 3).

    Attributes:
      channels: the teacher's number of channels.
      share: share of the map that is masked in training (lambda in the paper: 0.15 in classification, 0.65 for
        positions).
      over: whether to mask 'positions' or 'channels'; the paper masks channels in classification.
    """

    channels: Count
    share: Fraction = 0.5
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
    """The projector of SimKD; the teacher's classifier reads its output (Chen et al. 2022, section 3).

    Attributes:
      channels: the teacher's number of channels.
      reduction: divides the number of channels of the hidden layers.
    """

    channels: Count
    reduction: Count = 2

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, h, w, c]. Returns: map, [batch, h, w, channels]; features, its mean over space."""
        middle = max(1, self.channels // self.reduction)
        for number, (channels, size) in enumerate(((middle, 1), (middle, 3), (self.channels, 1)), start=1):
            x = conv(channels, size, name=f'conv{number}')(x)
            x = nn.relu(batch_norm(train, name=f'norm{number}')(x))
        return {'map': x, 'features': pooled(x)}


class Classifier(nn.Module):
    """A linear classifier of features; frozen, with init='run:teacher' and part='head', it is the teacher's classifier.

    Attributes:
      num_classes: number of classes.
    """

    num_classes: Count = 10

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, dim], or a map, which is averaged over space. Returns: logits, [batch, num_classes]."""
        return {'logits': nn.Dense(self.num_classes, name='head')(pooled(x) if x.ndim == 4 else x)}


class Gate(nn.Module):
    """Weights of several teachers for each example.

    Attributes:
      teachers: number of teachers.
    """

    teachers: Count

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: [batch, dim]. Returns: weights, [batch, teachers], with sum 1; initially equal."""
        return {'weights': nn.softmax(nn.Dense(self.teachers, kernel_init=nn.initializers.zeros, name='gate')(x))}


class GatedAverage(nn.Module):
    """The gate of ONE: averages the branches' logits with weights for each example (Lan et al. 2018, equation 4)."""

    @nn.compact
    def __call__(self, weights: jax.Array, *logits: jax.Array, train: bool = False) -> Activations:
        """Args: weights: [batch, branches]; logits: of each branch, [batch, classes]. Returns: logits, averaged."""
        if weights.shape[-1] != len(logits):
            raise UserError(f'there are {len(logits)} branches, but {weights.shape[-1]} weights')
        return {'logits': jnp.einsum('bn,nbc->bc', weights, jnp.stack(logits))}


class Noise(nn.Module):
    """Noisy teachers: in training, multiplies the logits of some examples by 1 + Gaussian noise.

    Sau & Balasubramanian (2016), section 3. It has no parameters. Declare it as a trained network all the same, because
    only trained networks run in training mode with random numbers.

    Attributes:
      sd: standard deviation of the noise.
      share: share of the examples that get noise.
    """

    sd: NonNegative = 0.5
    share: Fraction = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Activations:
        """Args: x: logits, [..., batch, num_classes]. Returns: logits, the shape of x."""
        if train:
            chosen, drawn = jax.random.split(self.make_rng('dropout'))
            disturbed = jax.random.bernoulli(chosen, self.share, (*x.shape[:-1], 1))
            x = x * (1.0 + self.sd * disturbed * jax.random.normal(drawn, x.shape, x.dtype))
        return {'logits': x}


def resized(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes maps [batch, h, w, c]: average pooling if the new size divides the old, else linear interpolation."""
    if x.ndim != 4:
        raise UserError(f'only a map [batch, height, width, channels] can be resized, not {list(x.shape)}')
    if x.shape[1] % size[0] == x.shape[2] % size[1] == 0:
        return nn.avg_pool(x, window := (x.shape[1] // size[0], x.shape[2] // size[1]), window)
    return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), 'linear')


def _convolved(x: jax.Array, channels: Sequence[int], name: str) -> jax.Array:
    for number, size in enumerate(channels, start=1):
        x = nn.leaky_relu(conv(size, 3, bias=True, name=f'{name}{number}')(x), 0.1)
    return x
