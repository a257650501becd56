"""Documents in the tokens of two tokenizers, and the places of the text at which both begin a token."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.data.documents import Document
from kd_jax.data.sequence_packing import TokenSequence, fill_rows, one_a_row
from kd_jax.data.source import Arrays
from kd_jax.data.token_rows import TextLayout, sequences_of_tokens, tokens_of


class Cut(NamedTuple):
    """A document in the tokens of one tokenizer.

    Attributes:
      sequence: what is read and predicted at each position.
      offsets: the byte of the text at which the predicted token begins, [positions].
      size: the bytes of the whole text.
    """

    sequence: TokenSequence
    offsets: np.ndarray
    size: int


def aligned_rows(documents: Sequence[Document], student: TextLayout, teacher: TextLayout) -> Arrays:
    """A row for each document that has tokens in both tokenizers; {} without rows.

    `tokens`, `label`, `mask`, `bytes`, `segment` and `position` are those of the student, [rows, length]. Further
    arrays: `teacher_tokens` [rows, teacher_length]; and [rows, length] each, `places` and `teacher_places`, positions
    of the two at which the predicted tokens begin at the same byte of the text, and `places_mask`, whether both count.

    Raises:
      UserError: as `sequences_of`; or one tokenizer changes a text and the other does not.
    """
    cuts = [(one, other) for document in documents for one, other in _both(document, student, teacher)]
    if not cuts:
        return {}
    filled = []
    for own, rows in ((0, student), (1, teacher)):
        sequences = [pair[own].sequence for pair in cuts]
        sizes = [len(sequence.tokens) for sequence in sequences]
        filled.append(fill_rows(sequences, list(one_a_row(sizes, rows.length)), rows.length))
    places = np.zeros((2, len(cuts), student.length), np.int32)
    mask = np.zeros(places.shape[1:], bool)
    for row, (one, other) in enumerate(cuts):
        common = common_places(one.offsets, other.offsets)
        places[:, row, : common.shape[1]] = common
        mask[row, : common.shape[1]] = one.sequence.mask[common[0]] & other.sequence.mask[common[1]]
    more = {'teacher_tokens': filled[1]['tokens'], 'places': places[0], 'teacher_places': places[1]}
    return {**filled[0], **more, 'places_mask': mask}


def common_places(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The positions of two lists of ascending offsets at which they are equal, [2, places].

    Special tokens take no bytes, so several positions may have one offset. They are paired from the last one on: at the
    begin of a text, only one of two tokenizers may have a special token.

    Args:
      one: [positions].
      other: [positions'].
    """
    most = 1 + max(len(one), len(other))

    def numbered(offsets: np.ndarray) -> np.ndarray:
        """A number of its own for each position: its offset, and its place among those of this offset, from the end."""
        after = np.searchsorted(offsets, offsets, 'right') - np.arange(len(offsets))
        return offsets.astype(np.int64) * most + after

    _, first, second = np.intersect1d(numbered(one), numbered(other), assume_unique=True, return_indices=True)
    order = np.argsort(first)
    return np.stack([first[order], second[order]]).astype(np.int32)


def _both(document: Document, student: TextLayout, teacher: TextLayout) -> list[tuple[Cut, Cut]]:
    cuts = [_cut(document, rows) for rows in (student, teacher)]
    one, other = cuts
    if one is None or other is None:
        return []
    if one.size != other.size:
        raise UserError(
            f'{document.place} has {one.size} bytes for the tokenizer {student.tokenizer.name!r} and {other.size} for '
            f'{teacher.tokenizer.name!r}, because one of them changes the text; normalise it to NFC, or leave it out.'
        )
    return [(one, other)]


def _cut(document: Document, rows: TextLayout) -> Cut | None:
    tokens = tokens_of(document, rows)
    found = sequences_of_tokens(tokens, document, rows)
    if not found:
        return None
    sizes = tokens[2]
    return Cut(found[0], np.cumsum(sizes)[: len(found[0].tokens)], int(sizes.sum()))
