"""Batch norm with a gradient written by hand, which reads the activations less often than that of autodiff."""

import flax.linen as nn
import jax
import jax.numpy as jnp

EPSILON = 1e-5
KEPT = 0.9  # share of the running averages that a step keeps


class BatchNorm(nn.Module):
    """Batch norm over all axes but the last, with the variables and the values of flax's `nn.BatchNorm`.

    Statistics are computed in float32 at least. The running averages, of the mean and of the biased variance, are in
    the collection 'batch_stats'.

    Attributes:
      use_running_average: whether inputs are normalised with the running averages, as in evaluation.
    """

    use_running_average: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x: [..., channels]. Returns: as x."""
        channels = x.shape[-1:]
        mean = self.variable('batch_stats', 'mean', jnp.zeros, channels, jnp.float32)
        variance = self.variable('batch_stats', 'var', jnp.ones, channels, jnp.float32)
        scale = self.param('scale', nn.initializers.ones, channels)
        bias = self.param('bias', nn.initializers.zeros, channels)
        if self.use_running_average:
            y = (x - mean.value) * (jax.lax.rsqrt(variance.value + EPSILON) * scale) + bias
            return y.astype(jnp.result_type(x, scale, bias))
        y, of_batch, spread = normalize(x, scale, bias)
        if not self.is_initializing():
            mean.value = KEPT * mean.value + (1 - KEPT) * of_batch
            variance.value = KEPT * variance.value + (1 - KEPT) * spread
        return y


@jax.custom_vjp
def normalize(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalises each channel over the batch, then scales and shifts it (Ioffe and Szegedy 2015, algorithm 1).

    Args:
      x: [..., channels].
      scale: [channels].
      bias: [channels].
    Returns:
      the result, [..., channels]; the mean and the biased variance of the batch, [channels].
    """
    return _forward(x, scale, bias)[0]


def _forward(x, scale, bias):
    axes = tuple(range(x.ndim - 1))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(wide, axes)
    variance = jnp.maximum(0.0, jnp.mean(wide * wide, axes) - mean * mean)
    inverse = jax.lax.rsqrt(variance + EPSILON)
    y = ((wide - mean) * (inverse * scale) + bias).astype(jnp.result_type(x, scale, bias))
    return (y, mean, variance), (x, scale, bias, mean, inverse)


def _backward(saved, cotangents):
    """The gradient of a batch in two passes: first two sums over it, then every element on its own."""
    x, scale, bias, mean, inverse = saved
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    of_y, of_mean, of_variance = cotangents
    of_y, centred = of_y.astype(mean.dtype), x.astype(mean.dtype) - mean
    of_bias = jnp.sum(of_y, axes)
    of_scale = jnp.sum(of_y * centred, axes) * inverse
    factor = inverse * scale
    slope = (2 * of_variance - factor * inverse * of_scale) / count
    of_x = factor * of_y + slope * centred + (of_mean - factor * of_bias) / count
    return of_x.astype(x.dtype), of_scale.astype(scale.dtype), of_bias.astype(bias.dtype)


normalize.defvjp(_forward, _backward)
