"""Packs sequences of tokens into rows of one length: the arrays of a token batch (see `arrays.batch_names`)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

OPEN_ROWS = 64  # rows that are tried before a new one is begun


class TokenSequence(NamedTuple):
    """What a network reads and predicts at each position of a document: arrays [positions].

    Attributes:
      tokens: int32, the tokens that it reads.
      label: int32, the tokens that it predicts.
      mask: bool, whether the label counts.
      bytes: int32, the number of bytes that the label stands for.
    """

    tokens: np.ndarray
    label: np.ndarray
    mask: np.ndarray
    bytes: np.ndarray


ARRAYS: dict[str, type] = {  # the arrays of rows, and their types
    **dict.fromkeys((*TokenSequence._fields, 'segment', 'position'), np.int32),
    'mask': bool,
}


class Stretch(NamedTuple):
    """The positions `start` to `stop` of sequence `sequence` lie in row `row` from column `column` on."""

    sequence: int
    start: int
    stop: int
    row: int
    column: int


def next_tokens(ids: np.ndarray, counts: np.ndarray, sizes: np.ndarray) -> TokenSequence:
    """The positions of a document of n tokens at which the next token is predicted: n - 1.

    The last token is not read, because nothing follows it; the first one is not predicted.

    Args:
      ids: tokens, [n].
      counts: whether a token counts as a target, [n].
      sizes: bytes that a token stands for, [n].
    """
    return TokenSequence(ids[:-1], ids[1:], counts[1:], sizes[1:])


def cut_and_fill(sizes: Sequence[int], length: int) -> Iterator[Stretch]:
    """Lays sequences one after another and cuts them where a row ends, so that only the last row has padding.

    Args:
      sizes: the numbers of positions of the sequences.
      length: positions in a row.
    """
    begin = 0
    for sequence, size in enumerate(sizes):
        done = 0
        while done < size:
            row, column = divmod(begin + done, length)
            stop = min(size, done + length - column)
            yield Stretch(sequence, done, stop, row, column)
            done = stop
        begin += size


def fit_whole(sizes: Sequence[int], length: int) -> Iterator[Stretch]:
    """Puts each sequence, whole, into the first of the newest `OPEN_ROWS` rows that has room for it, or a new row.

    Args:
      sizes: the numbers of positions of the sequences, at most `length` each.
      length: positions in a row.
    """
    used: list[int] = []
    for sequence, size in enumerate(sizes):
        first = max(0, len(used) - OPEN_ROWS)
        row = next((row for row in range(first, len(used)) if used[row] + size <= length), len(used))
        if row == len(used):
            used.append(0)
        yield Stretch(sequence, 0, size, row, used[row])
        used[row] += size


def one_a_row(sizes: Sequence[int], length: int) -> Iterator[Stretch]:
    """Gives each sequence a row of its own; what is longer than the row is left out."""
    for sequence, size in enumerate(sizes):
        yield Stretch(sequence, 0, min(size, length), sequence, 0)


def fill_rows(
    sequences: Sequence[TokenSequence] | Mapping[int, TokenSequence], stretches: Sequence[Stretch], length: int
) -> dict[str, np.ndarray]:
    """The arrays of rows, [rows, length]: tokens, label, mask, bytes, segment and position.

    Segments are counted from 1 in each row, and positions from 0 in each stretch. Padding is 0 everywhere.

    Args:
      sequences: the sequences, by the numbers that stretches name.
      stretches: where they lie; those of a row in order.
      length: positions in a row.
    """
    rows = 1 + max((stretch.row for stretch in stretches), default=-1)
    out: dict[str, np.ndarray] = {name: np.zeros((rows, length), kind) for name, kind in ARRAYS.items()}
    segments = np.zeros(rows, int)
    for stretch in stretches:
        count = stretch.stop - stretch.start
        at = (stretch.row, slice(stretch.column, stretch.column + count))
        for name, array in sequences[stretch.sequence]._asdict().items():
            out[name][at] = array[stretch.start : stretch.stop]
        segments[stretch.row] += 1
        out['segment'][at] = segments[stretch.row]
        out['position'][at] = np.arange(count)
    return out
