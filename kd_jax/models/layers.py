"""Layers with the conventions of PyTorch, so that weights trained in PyTorch give the same outputs here.

Padding is symmetric; flax's 'SAME' pads a strided convolution on one side only. Batch norm keeps 0.9 of its running
averages per step (momentum 0.1 in PyTorch). It averages the biased variance of the batch, where PyTorch multiplies the
variance by n / (n - 1). Under a mesh the statistics are those of the global batch, because one program computes the
whole batch.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.models.batch_norm import BatchNorm

# He et al. (2015), for the variance of the backward pass.
he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
# Uniform in +-1 / sqrt(fan_in): PyTorch's initial weights of a linear layer.
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def conv(channels: int, size: int, stride: int = 1, *, name: str, bias: bool = False) -> nn.Conv:
    """A square convolution with padding size // 2 on every side."""
    around = (size // 2, size // 2)
    return nn.Conv(
        channels, (size, size), (stride, stride), (around, around), use_bias=bias, kernel_init=he_fan_out, name=name
    )


def batch_norm(train: bool, *, name: str) -> BatchNorm:
    """Batch norm; its running averages are in the collection 'batch_stats'."""
    return BatchNorm(use_running_average=not train, name=name)


class Dropout(nn.Module):
    """Dropout whose rate may be a traced number, so that a config may give a schedule for it.

    flax's `nn.Dropout` branches on its rate in Python. For a constant rate this one gives the same values bit for bit.

    Attributes:
      rate: share of the values that are set to zero; the others are divided by 1 - rate.
      deterministic: whether the input is returned unchanged, as in evaluation.
    """

    rate: float | jax.Array
    deterministic: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x: [...]. Returns: as x."""
        constant = isinstance(self.rate, float | int)
        if self.deterministic or (constant and self.rate == 0):
            return x
        keep = 1.0 - self.rate
        kept = jax.random.bernoulli(self.make_rng('dropout'), keep, x.shape)
        # At rate 1 nothing is kept; the division must still be finite, or the gradient would be NaN.
        divisor = (keep or 1.0) if constant else jnp.where(keep > 0, keep, 1.0).astype(x.dtype)
        return jnp.where(kept, x / divisor, jnp.zeros_like(x))


def with_channels(image: jax.Array) -> jax.Array:
    """Images [batch, height, width(, channels)] as [batch, height, width, channels]."""
    return image[..., None] if image.ndim == 3 else image


def pooled(x: jax.Array) -> jax.Array:
    """The mean over space: [batch, height, width, channels] to [batch, channels]."""
    return jnp.mean(x, axis=(1, 2))
