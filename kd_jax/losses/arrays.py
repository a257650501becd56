"""What the losses share: precision, norms that are finite everywhere, rows under a mask, and the checks of shapes."""

import jax
import jax.numpy as jnp

from kd_jax.errors import UserError

Mask = jax.Array | None


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


def valid(array: jax.Array, where: Mask) -> jax.Array:
    """1 for each example that counts, 0 for the others: [batch].

    Raises:
      UserError: `where` does not have one entry an example.
    """
    if where is None:
        return jnp.ones(array.shape[0], wide(array).dtype)
    if where.shape != array.shape[:1]:
        raise UserError(f'it compares examples and needs one entry of the mask for each, not {list(where.shape)}')
    return (where > 0).astype(wide(array).dtype)


def rows(array: jax.Array, where: Mask) -> jax.Array:
    """[batch, ...] as [batch, dim], with zeros in place of the examples that do not count."""
    flat = wide(array).reshape(array.shape[0], -1)
    return flat if where is None else jnp.where(where[:, None] > 0, flat, 0.0)


def pairs(counts: jax.Array, diagonal: bool = True) -> jax.Array:
    """1 for each ordered pair of examples that count, [batch, batch]."""
    both = counts[:, None] * counts[None, :]
    return both if diagonal else both * (1.0 - jnp.eye(len(counts), dtype=both.dtype))


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


def check_batch(student: jax.Array, target: jax.Array, least: int = 2) -> None:
    """Raises a UserError unless both have the same number of examples, and at least `least`."""
    if student.shape[0] != target.shape[0]:
        raise UserError(f'the student has {student.shape[0]} examples and the teacher {target.shape[0]}')
    if student.shape[0] < least:
        raise UserError(
            f'it compares examples of a batch with each other and needs at least {least}, not {student.shape[0]}'
        )


def check_classes(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError if the numbers of classes differ."""
    if student.shape[-1] != target.shape[-1]:
        raise UserError(f'the student has {student.shape[-1]} classes and the teacher {target.shape[-1]}')


def check_logits(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError unless both are [batch, num_classes], of at least 2 examples."""
    check_classes(student, target)
    if student.ndim != 2 or target.ndim != 2:
        raise UserError(f'it needs logits [batch, num_classes], not {list(student.shape)} and {list(target.shape)}')
    check_batch(student, target)


def check_maps(*maps: jax.Array) -> None:
    """Raises a UserError unless all are [..., batch, height, width, channels]."""
    for array in maps:
        if array.ndim < 4:
            raise UserError(f'it needs feature maps [batch, height, width, channels], not {list(array.shape)}')


def check_space(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError unless both are feature maps of the same height and width."""
    check_maps(student, target)
    if student.shape[-3:-1] != target.shape[-3:-1]:
        sizes = ['{} x {}'.format(*array.shape[-3:-1]) for array in (student, target)]
        raise UserError(
            f"the student's maps are {sizes[0]} and the teacher's {sizes[1]}: put a connector of "
            f'size={target.shape[-3:-1]} between them, or choose layers of one size'
        )


def check_alike(student: jax.Array, target: jax.Array) -> None:
    """Raises a UserError unless the trailing axes, as many as both have, are the same."""
    shared = min(student.ndim, target.ndim)
    if student.shape[student.ndim - shared :] != target.shape[target.ndim - shared :]:
        if shared >= 4:
            check_space(student, target)
        raise UserError(
            f"the student's shape is {list(student.shape)} and the teacher's {list(target.shape)}: put a connector "
            'between them'
        )
