"""Array functions that losses and models share: precision, norms with finite gradients, standardisation, pooling."""

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError


def wide(array: jax.Array) -> jax.Array:
    """The array in float32, or in float64 if it is."""
    array = jnp.asarray(array)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def scaled(x: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """x over its largest size along `axis`, which is no function of x: for what does not depend on the scale of x.

    Squares of what comes out do not overflow.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=axis, keepdims=True))
    return x / jnp.where(largest > 0, largest, 1.0)


def norm(x: jax.Array, axis: int | tuple[int, ...] = -1) -> jax.Array:
    """L2 norm along `axis`, whose gradient is 0, not NaN, where it is 0."""
    squared = jnp.sum(jnp.square(x), axis=axis)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


def unit(x: jax.Array, axis: int | tuple[int, ...] = -1) -> jax.Array:
    """x over its L2 norm along `axis`; zeros stay zeros, and their gradient is zero."""
    x = scaled(x, axis)
    squared = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jnp.where(squared > 0, jax.lax.rsqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


def centred(x: jax.Array, mean: jax.Array, axis: int) -> jax.Array:
    """x - mean, exactly 0 along `axis` where nothing but rounding is left of it, and its gradient with it.

    What is divided by its norm afterwards would otherwise be noise of size 1 where x is constant.
    """
    difference = x - mean
    noise = 16 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x), axis=axis, keepdims=True)
    return jnp.where(jnp.max(jnp.abs(difference), axis=axis, keepdims=True) > noise, difference, 0.0)


def standardised(x: jax.Array) -> jax.Array:
    """x with mean 0 and standard deviation 1 (over n, not n - 1) along the last axis; constants become 0."""
    x = scaled(x, axis=-1)
    return unit(centred(x, jnp.mean(x, axis=-1, keepdims=True), -1)) * jnp.sqrt(x.shape[-1])


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b^T over the last two axes in full precision: differences of its entries are what relations are made of."""
    return jnp.matmul(a, jnp.swapaxes(b, -1, -2), precision=jax.lax.Precision.HIGHEST)


def mean(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean of all entries of x that `weights` (0 or 1) lets count; 0 if there are none."""
    total = jnp.sum(weights)
    return jnp.sum(jnp.where(weights > 0, x, 0.0)) / jnp.where(total > 0, total, 1.0)


def channels(array: jax.Array) -> jax.Array:
    """[..., height, width, channels] as [..., channels, height * width]."""
    flat = wide(array).reshape(*array.shape[:-3], -1, array.shape[-1])
    return jnp.swapaxes(flat, -1, -2)


def max_pooled(array: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Maps [..., height, width, channels] at a smaller size: maxima over equal blocks, smaller where the map ends.

    As nn.max_pool with padding 'SAME', whose gradient is slow in XLA on CPU; what ties share of a gradient differs.

    Raises:
      UserError: no equal blocks give that size.
    """
    height, width, channels = array.shape[-3:]
    block = -(-height // size[0]), -(-width // size[1])
    if -(-height // block[0]) != size[0] or -(-width // block[1]) != size[1]:
        raise UserError(f'a map of {height} x {width} has no equal blocks for one of {size[0]} x {size[1]}')
    missing = [(0, 0)] * (array.ndim - 3)
    missing += [(0, n * b - full) for n, b, full in zip(size, block, (height, width), strict=True)]
    array = jnp.pad(array, [*missing, (0, 0)], constant_values=-jnp.inf)
    shape = (*array.shape[:-3], size[0], block[0], size[1], block[1], channels)
    return jnp.max(array.reshape(shape), axis=(-4, -2))


def log_tail(log_probs: jax.Array, classes: jax.Array) -> jax.Array:
    """Logarithm of the summed probability of all but `classes` [..., k], [..., 1]; -inf if there are no others."""
    inside = jnp.put_along_axis(jnp.zeros(log_probs.shape, bool), classes, True, axis=-1, inplace=False)
    return jax.nn.logsumexp(jnp.where(inside, -jnp.inf, log_probs), axis=-1, keepdims=True)
