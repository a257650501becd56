"""The first byte of the next token: what student and teacher of unlike vocabularies both say about a text."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import wide
from kd_jax.config.errors import UserError
from kd_jax.data.byte_level import NO_BYTE
from kd_jax.data.tokenizers import load_tokenizer


class FirstBytes(nn.Module):
    """The log-probabilities of the first byte of the next token: targets and student of `losses.kd` and its kin.

    The probability of a byte is the sum of those of all tokens that begin with it. That is exact, given the tokens
    before: no token is matched with one of another vocabulary. Two models can be compared at every place of a text
    where both of their tokenizers begin a token; the source 'aligned_text' finds these places. (Inside a token the next
    byte has no such sum: a token that ends there leaves the byte to the token after it.) A byte that no token begins
    with has the probability 0, so student and teacher should begin tokens with the same bytes; `skew_kl` stays finite
    where they do not.

    In a config: `dict(model='first_bytes', input=['student.logits', 'batch.places'], first='json:tokenizer.json')`, or,
    for a small vocabulary, `first=(97, 97, 98, 256)`.

    Attributes:
      first: of each token the byte that it begins with, 0 to 255; 256 for special tokens, which stand for no byte. Or
        the tokenizer, as `data.tokenizer` names it; further tokens of the model stand for no byte.
    """

    first: Sequence[int] | str

    @nn.compact
    def __call__(
        self, logits: jax.Array, places: jax.Array | None = None, *, train: bool = False
    ) -> dict[str, jax.Array]:
        """Args:
          logits: [batch, length, vocabulary].
          places: integers, [batch, places], the positions to keep; None keeps all.

        Returns:
          logits: log-probabilities of the 256 bytes and of no byte, [batch, places, 257].
        """
        numbers = _of_tokenizer(self.first, logits.shape[-1]) if isinstance(self.first, str) else self.first
        first = jnp.array(numbers)
        if logits.shape[-1] != len(first) or min(numbers) < 0 or max(numbers) > NO_BYTE:
            raise UserError(
                f'first has {len(first)} numbers, but it needs one from 0 to {NO_BYTE} for each of the '
                f'{logits.shape[-1]} tokens'
            )
        if places is not None:
            logits = jnp.take_along_axis(logits, places[..., None], axis=-2)
        log_p = jnp.moveaxis(jax.nn.log_softmax(wide(logits)), -1, 0)
        largest = jax.lax.stop_gradient(jax.ops.segment_max(log_p, first, NO_BYTE + 1))
        largest = jnp.where(jnp.isneginf(largest), 0.0, largest)
        total = jax.ops.segment_sum(jnp.exp(log_p - largest[first]), first, NO_BYTE + 1)
        none = total == 0
        summed = jnp.where(none, -jnp.inf, largest + jnp.log(jnp.where(none, 1.0, total)))
        return {'logits': jnp.moveaxis(summed, 0, -1)}


def _of_tokenizer(name: str, size: int) -> Sequence[int]:
    """The first bytes of the tokens of a tokenizer, filled up for a model of `size` tokens."""
    first = load_tokenizer(name).first
    if not first:
        raise UserError(f'first={name!r} is a tokenizer whose tokens are not made of bytes')
    return [*first, *[NO_BYTE] * (size - len(first))]
