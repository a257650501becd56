"""Rows and pairs of a batch under a mask."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import wide
from kd_jax.config.errors import UserError

Mask = jax.Array | None


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
