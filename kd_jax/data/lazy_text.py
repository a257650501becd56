"""Rows of tokens that are made on the host when a batch is fetched, from documents that are read again each time."""

import dataclasses
import functools
import hashlib
import zlib
from array import array
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.data.documents import Document, check_like
from kd_jax.data.sequence_packing import Stretch, TokenSequence
from kd_jax.data.source import Arrays, Vocabulary
from kd_jax.data.token_rows import TextLayout, fill, lay_out, names_of_arrays, number_arrays, sequences_of
from kd_jax.data.word_masking import masked_for_evaluation

RECENT = 32  # documents whose tokens are kept; rows of one document often follow each other in evaluation
STRETCH = np.dtype([(name, np.int64) for name in Stretch._fields])


class MeasuredDocuments(NamedTuple):
    """What documents need to be laid into rows, without their tokens.

    Attributes:
      documents: reads a document when it is indexed.
      names: a hash of the name of each document, uint64 [documents].
      pieces: the number of the document of each sequence, and which of the document's it is; int64 [sequences, 2].
      sizes: the number of positions of each sequence, int64 [sequences].
      numbers: the numbers of the document of each sequence, [sequences] each; {} if documents share rows.
    """

    documents: Sequence[Document]
    names: np.ndarray
    pieces: np.ndarray
    sizes: np.ndarray
    numbers: Arrays


def measure_documents(documents: Sequence[Document], rows: TextLayout) -> MeasuredDocuments:
    """Reads all documents once and counts their tokens.

    Raises:
      UserError: a document cannot be read or is of another kind than the first one, or as `sequences_of`.
    """
    names, pieces, sizes, numbers = array('Q'), array('q'), array('q'), []
    first = documents[0]
    for number in range(len(documents)):
        document = documents[number]
        check_like(document, first, numbers=rows.has_numbers)
        names.append(int.from_bytes(hashlib.blake2b(document.name.encode(), digest_size=8).digest()))
        for piece, sequence in enumerate(sequences_of(document, rows)):
            pieces.extend((number, piece))
            sizes.append(len(sequence.tokens))
            if rows.has_numbers:
                numbers.append(document.numbers)
    own = number_arrays(numbers, first) if numbers else {}
    found = np.array(pieces, np.int64).reshape(-1, 2)
    return MeasuredDocuments(documents, np.array(names, np.uint64), found, np.array(sizes, np.int64), own)


def lazy_rows(
    measured: MeasuredDocuments, chosen: np.ndarray, rows: TextLayout, vocabulary: Vocabulary, checksum: int
) -> Arrays:
    """The arrays of a split as rows, of which `tokens` stands for all that is read later; {} without rows.

    Args:
      measured: the documents.
      chosen: the numbers of those of the split.
      rows: how they become rows.
      vocabulary: the tokens.
      checksum: that of the documents.
    """
    kept = np.isin(measured.pieces[:, 0], chosen)
    if not kept.any():
        return {}
    laid = lay_out(measured.sizes[kept].tolist(), measured.documents[0], rows)
    stretches = np.fromiter(laid, STRETCH)
    stretches = stretches[np.argsort(stretches['row'], kind='stable')]
    first = np.searchsorted(stretches['row'], np.arange(stretches['row'][-1] + 2))
    pieces, sizes = measured.pieces[kept], measured.sizes[kept]
    read = functools.lru_cache(RECENT)(lambda number: sequences_of(measured.documents[number], rows))
    made = TextRows(read, rows, vocabulary, pieces, sizes, stretches, first, checksum)
    return {'tokens': made, **{name: numbers[kept] for name, numbers in measured.numbers.items()}}


@dataclasses.dataclass(frozen=True, eq=False)
class TextRows:
    """Rows of tokens of a split; stored under 'tokens' among its arrays.

    Attributes:
      sequences: what is read and predicted of the document of a number, from `sequences_of`.
      layout: how documents become rows.
      vocabulary: the tokens.
      pieces: as in `MeasuredDocuments`, for the sequences of this split.
      sizes: as in `MeasuredDocuments`.
      stretches: where the sequences lie, sorted by row, [stretches].
      first: the first stretch of each row, and the end of the last row, [rows + 1].
      checksum: that of the documents.
    """

    sequences: Callable[[int], list[TokenSequence]]
    layout: TextLayout
    vocabulary: Vocabulary
    pieces: np.ndarray
    sizes: np.ndarray
    stretches: np.ndarray
    first: np.ndarray
    checksum: int

    workers: ClassVar[int] = 0

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def gives(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return names_of_arrays(self.layout)

    def identity(self) -> str:
        """What tells these rows from others, for checksums."""
        laid = zlib.crc32(self.pieces.tobytes(), zlib.crc32(self.stretches.tobytes()))
        tokens = zlib.crc32('\n'.join(self.layout.tokenizer.tokens).encode())
        return f'{self.checksum:08x} {laid:08x} {tokens:08x} {tuple(self.vocabulary)} {tuple(self.layout[1:])}'

    def read(self, ids: np.ndarray, views: Any = None) -> Arrays:
        """Makes rows: tokens, label, mask, bytes, segment and position, [..., batch, length].

        Args:
          ids: numbers of the rows, [..., batch].
          views: not used; rows have no views of their own.
        Raises:
          UserError: a document cannot be read, or has changed since it was measured.
        """
        found: dict[int, TokenSequence] = {}
        stretches = []
        for place, row in enumerate(ids.flat):
            for one in self.stretches[self.first[row] : self.first[row + 1]].tolist():
                stretch = Stretch(*one)
                if stretch.sequence not in found:
                    found[stretch.sequence] = self._sequence(stretch.sequence)
                stretches.append(stretch._replace(row=place))
        arrays = fill(found, stretches, self.layout)
        if self.layout.predicts == 'masked':
            arrays = masked_for_evaluation(arrays, self.vocabulary, ids.reshape(-1))
        return {name: a.reshape(*ids.shape, self.layout.length) for name, a in arrays.items()}

    def _sequence(self, number: int) -> TokenSequence:
        document, piece = self.pieces[number].tolist()
        own = self.sequences(document)
        if piece >= len(own) or len(own[piece].tokens) != self.sizes[number]:
            raise UserError(
                f'data.documents has changed: document {document + 1} is another one than when the run began; leave '
                'files as they are while they are read.'
            )
        return own[piece]
