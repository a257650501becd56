"""The keys and values of the tokens that a decoder has read."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

LayerCache = tuple[jax.Array, jax.Array]  # keys and values of one layer, see `KVCache`
# Blocks of queries: smaller products are slow, and each block makes the program longer.
LEAST_BLOCK, MOST_BLOCKS = 128, 4


class KVCache(NamedTuple):
    """What a decoder keeps of the tokens that it has read, so that it computes each of them once.

    The examples of a batch fill their slots together; a slot of padding is never read. Attention multiplies the arrays
    in this layout as they are; on CPUs, XLA would copy the whole cache for each token in others.

    Attributes:
      keys: of each layer, after rotation, [batch * kv_heads, head_dim, size].
      values: of each layer, [batch * kv_heads, size, head_dim].
      valid: whether a slot holds a token that is no padding, [batch, size].
      position: the position of the next token of each example, [batch].
      length: the number of slots that are filled, a scalar; an integer of Python where a program is traced that begins
        with an empty cache.
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    valid: jax.Array
    position: jax.Array
    length: jax.Array | int


def empty_cache(layers: int, batch: int, size: int, kv_heads: int, head_dim: int, dtype: str = 'float32') -> KVCache:
    """A cache with `size` free slots for each of `batch` examples."""
    keys, values = (
        tuple(jnp.zeros((batch * kv_heads, *own), dtype) for _ in range(layers))
        for own in ((head_dim, size), (size, head_dim))
    )
    return KVCache(keys, values, jnp.zeros((batch, size), bool), jnp.zeros(batch, jnp.int32), 0)


def stored(past: LayerCache, keys: jax.Array, values: jax.Array, at: jax.Array | int) -> LayerCache:
    """Writes the keys and values of new tokens, [batch, length, kv_heads, head_dim], to the slots from `at` on."""
    batch, length, kv_heads, head_dim = keys.shape
    columns = keys.transpose(0, 2, 3, 1).reshape(batch * kv_heads, head_dim, length).astype(past[0].dtype)
    rows = values.transpose(0, 2, 1, 3).reshape(batch * kv_heads, length, head_dim).astype(past[1].dtype)
    update = jax.lax.dynamic_update_slice
    return update(past[0], columns, (0, 0, at)), update(past[1], rows, (0, at, 0))


def causal_attention(queries: jax.Array, past: LayerCache, mask: jax.Array, at: jax.Array | int) -> jax.Array:
    """`attention` of tokens to themselves and to earlier ones, without the slots that none of them may read.

    If the program that is traced knows where the tokens begin, it multiplies them block by block.

    Args:
      queries: [batch, length, heads, head_dim].
      past: the keys and values of the layer, with those of these tokens.
      mask: whether each query may read a slot, [batch, 1, length, size]; False for the slots of later tokens.
      at: the slot of the first query.
    Returns:
      [batch, length, heads, head_dim].
    """
    if not isinstance(at, int):
        return attention(queries, past, mask)
    length = queries.shape[1]
    block = max(LEAST_BLOCK, -(-length // MOST_BLOCKS))
    mixed = []
    for first in range(0, length, block):
        own, seen = slice(first, first + block), slice(at + first + block)
        mixed.append(attention(queries[:, own], (past[0][..., seen], past[1][:, seen]), mask[:, :, own, seen]))
    return jnp.concatenate(mixed, axis=1)


def attention(queries: jax.Array, past: LayerCache, mask: jax.Array) -> jax.Array:
    """Attention to the slots of a cache; the softmax is computed in float32.

    Args:
      queries: [batch, length, heads, head_dim].
      past: the keys and values of the layer.
      mask: whether each query may read a slot, [batch, 1, length, size].
    Returns:
      [batch, length, heads, head_dim].
    """
    keys, values = past
    batch, length, heads, head_dim = queries.shape
    kv_heads = keys.shape[0] // batch
    grouped = queries.reshape(batch, length, kv_heads, -1, head_dim).transpose(0, 2, 3, 1, 4)
    rows = grouped.reshape(batch * kv_heads, -1, head_dim)
    scores = jnp.einsum('nqd,nds->nqs', rows, keys, preferred_element_type=jnp.float32)
    scores = scores.reshape(batch, heads, length, -1) * head_dim**-0.5
    shares = jax.nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min))
    shares = shares.reshape(*rows.shape[:2], -1).astype(values.dtype)
    mixed = jnp.einsum('nqs,nsd->nqd', shares, values)
    return mixed.reshape(grouped.shape).transpose(0, 3, 1, 2, 4).reshape(queries.shape)


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
