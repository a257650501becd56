"""Masks over the examples of a batch, and over pairs of them."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import wide
from kd_jax.config.errors import UserError

Mask = jax.Array | None


def valid(array: jax.Array, where: Mask) -> jax.Array:
    """1 for each example that counts, 0 for the others: [batch].

    Args:
      array: [batch, ...].
      where: mask, [batch], > 0 for the examples that count; None if all count.
    Raises:
      UserError: the shape of `where` is not [batch].
    """
    if where is None:
        return jnp.ones(array.shape[0], wide(array).dtype)
    if where.shape != array.shape[:1]:
        raise UserError(f'the loss compares examples, so the mask needs one entry per example, not {list(where.shape)}')
    return (where > 0).astype(wide(array).dtype)


def rows(array: jax.Array, where: Mask) -> jax.Array:
    """Flattens [batch, ...] to [batch, dim] and sets the examples that do not count to zero."""
    flat = wide(array).reshape(array.shape[0], -1)
    return flat if where is None else jnp.where(where[:, None] > 0, flat, 0.0)


def pair_mask(counts: jax.Array, diagonal: bool = True) -> jax.Array:
    """1 for each ordered pair of examples that both count, [batch, batch]; `diagonal` includes pairs (i, i)."""
    both = counts[:, None] * counts[None, :]
    return both if diagonal else both * (1.0 - jnp.eye(len(counts), dtype=both.dtype))
