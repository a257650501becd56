"""Relations between the tokens of a sequence: self-attention distributions, as MiniLM distils them."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import divergence_terms, wide
from kd_jax.config.errors import UserError


def token_relations(
    student_a: jax.Array, student_b: jax.Array, target_a: jax.Array, target_b: jax.Array, segment: jax.Array,
    *, heads: int = 0, causal: bool = False,
) -> jax.Array:  # fmt: skip
    """KL(teacher || student) between the relations softmax(a b^T / sqrt(head_dim)) of tokens, averaged over heads.

    Wang et al. (2020, MiniLM), equations 6 to 8: with a = queries and b = keys these are the attention distributions,
    with a = b = values the value relations; the paper adds the two with weight 1. Wang et al. (2021, MiniLMv2) take
    queries, keys and values each with themselves, split anew into `heads` relation heads, so student and teacher may
    have unlike numbers of heads. The papers average over the tokens of each sequence; the term averages over all
    tokens of the batch that its mask keeps.

    Args:
      student_a: such as queries, [batch, length, heads, head_dim].
      student_b: such as keys, [batch, length, heads, head_dim]; with fewer heads, each serves as many of `a` in order.
      target_a: of the teacher, [batch, length, heads, head_dim'].
      target_b: of the teacher, [batch, length, heads, head_dim'].
      segment: integers, [batch, length]; tokens are related to tokens of their segment. Padding is segment 0.
      heads: the number of relation heads into which all channels are split; 0 keeps the heads of the arrays.
      causal: whether tokens are related to earlier tokens and themselves only, as in a decoder.
    Returns:
      nats per token, [batch, length]; 0 for padding.
    Raises:
      UserError: shapes that do not fit, numbers of heads that differ, or a number that does not divide the channels.
    """
    related = (segment[..., :, None] == segment[..., None, :]) & (segment > 0)[..., :, None]
    if causal:
        related &= jnp.tri(segment.shape[-1], dtype=bool)
    log_q, log_p = (
        _log_relations(x, y, related[..., None, :, :], heads) for x, y in ((student_a, student_b), (target_a, target_b))
    )
    if log_q.shape[-3:] != log_p.shape[-3:]:
        raise UserError(
            f"the student's relations are {list(log_q.shape)}, [..., heads, length, length], and the teacher's "
            f'{list(log_p.shape)}: for unlike heads, set heads to a number that divides the channels of both'
        )
    return jnp.mean(jnp.sum(divergence_terms(log_p, log_q), axis=-1), axis=-2)


def _log_relations(a: jax.Array, b: jax.Array, related: jax.Array, heads: int) -> jax.Array:
    """Logarithms of the relations, [..., heads, length, length]; -inf between tokens that are not related."""
    if a.ndim < 4 or b.ndim < 4:
        raise UserError(
            f'the loss needs arrays [batch, length, heads, head_dim], not {list(a.shape)} and {list(b.shape)}'
        )
    a, b = (_split(wide(array), heads) for array in (a, b))
    if a.shape[-2] % b.shape[-2] or a.shape[-1] != b.shape[-1]:
        raise UserError(f'{a.shape[-2]} heads of {a.shape[-1]} channels and {b.shape[-2]} of {b.shape[-1]} do not fit')
    b = jnp.repeat(b, a.shape[-2] // b.shape[-2], axis=-2)
    scores = jnp.einsum('...ihd,...jhd->...hij', a, b, precision=jax.lax.Precision.HIGHEST) / jnp.sqrt(a.shape[-1])
    some = jnp.any(related, axis=-1, keepdims=True)
    return jnp.where(some, jax.nn.log_softmax(jnp.where(related | ~some, scores, -jnp.inf), axis=-1), -jnp.inf)


def _split(array: jax.Array, heads: int) -> jax.Array:
    """Splits all channels of [..., length, heads, head_dim] anew into `heads`, unless that is 0."""
    channels = array.shape[-2] * array.shape[-1]
    if heads < 0 or (heads and channels % heads):
        raise UserError(f'heads is {heads}, but it must divide the {channels} channels')
    return array.reshape(*array.shape[:-2], heads, -1) if heads else array
