"""The keys and values of the tokens that a decoder has read."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class KVCache(NamedTuple):
    """What a decoder keeps of the tokens that it has read, so that it computes each of them once.

    The examples of a batch fill their slots together; a slot of padding is never read.

    Attributes:
      keys: after rotation, [layers, batch, size, kv_heads, head_dim].
      values: [layers, batch, size, kv_heads, head_dim].
      valid: whether a slot holds a token that is no padding, [batch, size].
      position: the position of the next token of each example, [batch].
      length: the number of slots that are filled, a scalar.
    """

    keys: jax.Array
    values: jax.Array
    valid: jax.Array
    position: jax.Array
    length: jax.Array


def empty_cache(layers: int, batch: int, size: int, kv_heads: int, head_dim: int, dtype: str = 'float32') -> KVCache:
    """A cache with `size` free slots for each of `batch` examples."""
    keys, values = (jnp.zeros((layers, batch, size, kv_heads, head_dim), dtype) for _ in range(2))
    return KVCache(keys, values, jnp.zeros((batch, size), bool), *(jnp.zeros(s, jnp.int32) for s in ((batch,), ())))


def with_tokens(cache: KVCache, valid: jax.Array) -> tuple[KVCache, jax.Array, jax.Array]:
    """Takes slots for the next tokens; their keys and values are still those of the empty cache.

    Args:
      cache: the cache, with free slots for `length` more tokens.
      valid: whether each token is no padding, [batch, length].
    Returns:
      the cache; the position of each token, [batch, length]; and which slots each may read, [batch, 1, length, size].
    """
    length, size = valid.shape[1], cache.valid.shape[1]
    position = cache.position[:, None] + jnp.maximum(jnp.cumsum(valid, axis=1) - 1, 0)
    slots = jax.lax.dynamic_update_slice(cache.valid, valid, (0, cache.length))
    earlier = jnp.arange(size) <= cache.length + jnp.arange(length)[:, None]
    taken = cache._replace(
        valid=slots, position=cache.position + jnp.sum(valid, axis=1, dtype=jnp.int32), length=cache.length + length
    )
    return taken, position, slots[:, None, None, :] & earlier
