"""Array functions that losses and models share: precision, norms with finite gradients, standardisation, pooling."""

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError


def wide(array: jax.Array) -> jax.Array:
    """Casts an array to float32; float64 stays float64."""
    array = jnp.asarray(array)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def scaled(x: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """Divides x by its largest absolute value along `axis`; zeros stay zeros.

    The divisor is a constant for gradients. Use this only before a function that does not depend on the scale of x. The
    squares of the result do not overflow.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=axis, keepdims=True))
    return x / jnp.where(largest > 0, largest, 1.0)


def norm(x: jax.Array, axis: int | tuple[int, ...] = -1) -> jax.Array:
    """L2 norm along `axis`; where the norm is 0, its gradient is 0, not NaN."""
    squared = jnp.sum(jnp.square(x), axis=axis)
    zero = squared == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, squared)))


def unit_length(x: jax.Array, axis: int | tuple[int, ...] = -1) -> jax.Array:
    """Divides x by its L2 norm along `axis`; a zero vector stays zero, and its gradient is zero."""
    x = scaled(x, axis)
    squared = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    zero = squared == 0
    return x * jnp.where(zero, 0.0, jax.lax.rsqrt(jnp.where(zero, 1.0, squared)))


@jax.custom_vjp
def finite_where_masked(x: jax.Array, counts: jax.Array) -> jax.Array:
    """Returns x; where it does not count, what is not finite in its gradient becomes 0.

    Args:
      x: any shape.
      counts: bool, of a shape that broadcasts to that of x.
    """
    return x


finite_where_masked.defvjp(
    lambda x, counts: (x, counts), lambda counts, g: (jnp.where(counts | jnp.isfinite(g), g, 0.0), None)
)


def centred(x: jax.Array, mean: jax.Array, axis: int) -> jax.Array:
    """Subtracts the mean; the result and its gradient are exactly 0 where x is constant along `axis` up to rounding.

    Otherwise, dividing the result by its norm would turn the rounding errors of a constant x into values of size 1.
    """
    difference = x - mean
    noise = 16 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x), axis=axis, keepdims=True)
    constant = (jnp.max(jnp.abs(difference), axis=axis, keepdims=True) <= noise) & ~jnp.isnan(mean)
    return jnp.where(constant, 0.0, difference)


def standardised(x: jax.Array, less: int = 0) -> jax.Array:
    """Gives x mean 0 and standard deviation 1 along the last axis; a constant x becomes 0.

    Entries of -inf stay -inf and do not count.

    Args:
      x: [..., n].
      less: the standard deviation divides by n - less.
    """
    counts = ~jnp.isneginf(x)
    n = jnp.maximum(jnp.sum(counts, axis=-1, keepdims=True), 1)
    x = scaled(jnp.where(counts, x, 0.0), axis=-1)
    mean = jnp.sum(x, axis=-1, keepdims=True) / n
    return jnp.where(counts, unit_length(centred(jnp.where(counts, x, mean), mean, -1)) * jnp.sqrt(n - less), -jnp.inf)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b^T over the last two axes, in full precision because relational losses use differences of its entries."""
    return jnp.matmul(a, jnp.swapaxes(b, -1, -2), precision=jax.lax.Precision.HIGHEST)


def mean(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean of the entries of x whose `weights` (0 or 1) are 1; 0 if there are none."""
    total = jnp.sum(weights)
    return jnp.sum(jnp.where(weights > 0, x, 0.0)) / jnp.where(total > 0, total, 1.0)


def weighted(weights: jax.Array, x: jax.Array) -> jax.Array:
    """weights * x, where a weight of 0 makes an infinite x count nothing: 0 log 0 = 0. NaN stays NaN."""
    return weights * jnp.where((weights == 0) & jnp.isinf(x), 0.0, x)


def keep_nan(x: jax.Array, *sources: jax.Array) -> jax.Array:
    """x, but NaN where a source has one, for results of comparing or selecting, which hide it.

    XLA's minimum and maximum are among these: on CPUs they may return the number next to a NaN.

    Args:
      x: [...].
      sources: each with the axes of x and any further ones.
    """
    for source in sources:
        found = jnp.any(jnp.isnan(source), axis=tuple(range(x.ndim, source.ndim)))
        x = jnp.where(found, jnp.nan, x)
    return x


def divergence_terms(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
    """p (log p - log q), the terms of KL(p || q); 0 where p is 0, whatever q is.

    Where only q is 0 the term is infinite.
    """
    p = jnp.exp(log_p)
    return p * jnp.where(p == 0, 0.0, log_p - log_q)


def channels(array: jax.Array) -> jax.Array:
    """Reshapes [..., height, width, channels] to [..., channels, height * width], in float32 or float64."""
    flat = wide(array).reshape(*array.shape[:-3], -1, array.shape[-1])
    return jnp.swapaxes(flat, -1, -2)


def max_pooled(array: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Pools maps [..., height, width, channels] to a smaller `size`, (height, width), by the maxima of equal blocks.

    The last blocks are smaller if the map ends there. The result is that of `nn.max_pool` with padding 'SAME', whose
    gradient is slow in XLA on CPUs. Only the gradients of tied maxima differ.

    Raises:
      UserError: no equal blocks give that size.
    """
    height, width, channels = array.shape[-3:]
    block = -(-height // size[0]), -(-width // size[1])
    if -(-height // block[0]) != size[0] or -(-width // block[1]) != size[1]:
        raise UserError(f'a map of {height} x {width} cannot be pooled to {size[0]} x {size[1]} by equal blocks')
    missing = [(0, 0)] * (array.ndim - 3)
    missing += [(0, n * b - full) for n, b, full in zip(size, block, (height, width), strict=True)]
    array = jnp.pad(array, [*missing, (0, 0)], constant_values=-jnp.inf)
    shape = (*array.shape[:-3], size[0], block[0], size[1], block[1], channels)
    return jnp.max(array.reshape(shape), axis=(-4, -2))


def log_tail(log_probs: jax.Array, classes: jax.Array) -> jax.Array:
    """Logarithm of the total probability of all classes but some; -inf if the others have none, and then no gradient.

    Args:
      log_probs: logarithms of probabilities, [..., num_classes].
      classes: integers, the classes to leave out, [..., k].
    Returns:
      [..., 1].
    """
    inside = jnp.put_along_axis(jnp.zeros(log_probs.shape, bool), classes, True, axis=-1, inplace=False)
    others = jnp.where(inside, -jnp.inf, log_probs)
    # The gradient of logsumexp where all is -inf would be NaN, even if what is computed from it counts nothing.
    none = jnp.all(jnp.isneginf(others), axis=-1, keepdims=True)
    return jnp.where(none, -jnp.inf, jax.nn.logsumexp(jnp.where(none, 0.0, others), axis=-1, keepdims=True))
