"""Random keys derived from names, never from a position in a list."""

import hashlib

import jax


def fold_in_name(key: jax.Array, name: str) -> jax.Array:
    """A key of its own for each name, the same in every process and recipe."""
    return jax.random.fold_in(key, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], 'big'))
