"""Masks words for masked language modelling, by a rule that depends on the example and its view alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.errors import UserError
from kd_jax.data.held_out import SEED
from kd_jax.data.source import Source, Vocabulary

SHARE = 0.15  # of the words, in evaluation
MASKED, RANDOM = 0.8, 0.1  # of the chosen words; the others stay as they are


class WordMasking(NamedTuple):
    """The words that training masks.

    Attributes:
      share: the share of the words that is chosen.
      mask: the token that replaces most of the chosen words.
      size: the number of tokens; random tokens are drawn from all of them.
    """

    share: float
    mask: int
    size: int


def masked_words(words: jax.Array, candidates: jax.Array, keys: jax.Array, how: WordMasking) -> dict[str, jax.Array]:
    """Chooses words, and hides them: `tokens` to read, and `mask`, True for the chosen words, whose loss counts.

    Devlin et al. (2019), section 3.1: of the chosen words, 80% become the mask token, 10% a random token, and 10% stay.
    Each word is chosen by itself, with probability `share`.

    Args:
      words: ids, [batch, length].
      candidates: whether a word may be chosen, [batch, length].
      keys: one key for each example, [batch].
      how: shares and tokens.
    """

    def of_row(row: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        choose, place, draw = jax.random.split(key, 3)
        chosen = jax.random.uniform(choose, row.shape) < how.share
        where = jax.random.uniform(place, row.shape)
        other = jax.random.randint(draw, row.shape, 0, how.size, row.dtype)
        hidden = jnp.where(where < MASKED, how.mask, jnp.where(where < MASKED + RANDOM, other, row))
        return jnp.where(chosen, hidden, row), chosen

    tokens, chosen = jax.vmap(of_row)(words, keys)
    chosen = chosen & candidates
    return {'tokens': jnp.where(chosen, tokens, words), 'mask': chosen}


def masked_again(batch: Mapping[str, jax.Array], keys: jax.Array, how: WordMasking) -> dict[str, jax.Array]:
    """The batch with other words masked; `label` holds all words. Special tokens, which have no bytes, are not chosen.

    Args:
      batch: label and bytes, [batch, length].
      keys: one key for each example, [batch].
      how: shares and tokens.
    """
    keys = jax.vmap(fold_in_name, in_axes=(0, None))(keys, 'mask_words')
    return {**batch, **masked_words(batch['label'], batch['bytes'] > 0, keys, how)}


def masked_for_evaluation(
    arrays: Mapping[str, np.ndarray], vocabulary: Vocabulary, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """The arrays of rows with words masked, the same ones in every evaluation.

    Args:
      arrays: label and bytes, [rows, length], and others.
      vocabulary: the tokens.
      rows: the numbers of the rows in their split, [rows].
    Raises:
      UserError: the tokenizer has no token for masked words.
    """
    if vocabulary.mask is None:
        raise UserError(
            f"data.predicts is 'masked', but tokenizer {vocabulary.tokenizer!r} has no token for masked words, such as "
            "'[MASK]'."
        )
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(SEED), rows)
    how = WordMasking(SHARE, vocabulary.mask, vocabulary.size)
    masked = jax.jit(masked_words, static_argnames='how')(arrays['label'], arrays['bytes'] > 0, keys, how=how)
    return {**arrays, **{name: np.asarray(array) for name, array in masked.items()}}


def place_masking(options: Mapping[str, Any], loaded: Source, where: str) -> dict[str, Any]:
    """Returns the augmentations with `mask_words` as a `WordMasking`.

    Raises:
      UserError: the rows of the source do not hold words that could be masked.
    """
    if 'mask_words' not in options:
        return dict(options)
    vocabulary = loaded.vocabulary
    if vocabulary is None or vocabulary.mask is None or vocabulary.predicts != 'masked':
        raise UserError(
            f'{where}.mask_words masks other words in each epoch, but the data has no masked words; set data.predicts='
            "'masked', an option of text sources, or leave mask_words out."
        )
    return {**options, 'mask_words': WordMasking(float(options['mask_words']), vocabulary.mask, vocabulary.size)}
