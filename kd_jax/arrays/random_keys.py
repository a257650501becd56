"""Derives random keys from names, never from positions in a list."""

import hashlib

import jax


def fold_in_name(key: jax.Array, name: str) -> jax.Array:
    """Derives a key from a name; the result is the same in every process and every recipe."""
    return jax.random.fold_in(key, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], 'big'))
