"""Turns documents into rows of tokens: which tokens are read, which are predicted, and which of these count."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.data.chat_templates import parts_of
from kd_jax.data.documents import PROMPT, Document
from kd_jax.data.model_tokenizer import with_end
from kd_jax.data.sentences import sentences
from kd_jax.data.sequence_packing import (
    ARRAYS,
    Stretch,
    TokenSequence,
    cut_and_fill,
    fill_rows,
    fit_whole,
    next_tokens,
    one_a_row,
)
from kd_jax.data.source import Arrays
from kd_jax.data.tokenizers import Encoded, Tokenizer

PREDICTED = ('label', 'mask')
Tokens = tuple[np.ndarray, np.ndarray, np.ndarray]  # see `tokens_of`


class TextLayout(NamedTuple):
    """How documents become rows of tokens; the options of `text`."""

    tokenizer: Tokenizer
    length: int
    predicts: str
    pack: bool
    longer: str
    chat: str
    end: str | None
    sentences: bool = False

    @property
    def has_numbers(self) -> bool:
        """Whether the numbers of documents become arrays."""
        return not self.pack and not self.sentences


def token_rows(documents: Sequence[Document], rows: TextLayout) -> Arrays:
    """The arrays of documents as rows: tokens, label, mask, bytes, segment, position, [rows, length]; {} without rows.

    Raises:
      UserError: as `sequences_of`; or a number of a document has the name of one of these arrays.
    """
    sequences, kept = list[TokenSequence](), list[Document]()
    for document in documents:
        own = sequences_of(document, rows)
        sequences += own
        kept += [document] * len(own)
    if not sequences:
        return {}
    arrays = fill(sequences, list(lay_out([len(one.tokens) for one in sequences], kept[0], rows)), rows)
    numbers = number_arrays([document.numbers for document in kept], kept[0]) if rows.has_numbers else {}
    return {**arrays, **numbers}


def lay_out(sizes: Sequence[int], first: Document, rows: TextLayout) -> Iterator[Stretch]:
    """Where sequences lie in rows, by their numbers of positions; `first` is the first document."""
    plain = not first.messages and rows.predicts == 'next'
    return (one_a_row if not rows.pack else cut_and_fill if plain else fit_whole)(sizes, rows.length)


def fill(
    sequences: Sequence[TokenSequence] | Mapping[int, TokenSequence], stretches: Sequence[Stretch], rows: TextLayout
) -> Arrays:
    """The arrays of rows in which sequences lie; without `label` and `mask` if nothing is predicted."""
    arrays = fill_rows(sequences, stretches, rows.length)
    return {name: arrays[name] for name in names_of_arrays(rows)}


def names_of_arrays(rows: TextLayout) -> tuple[str, ...]:
    """The names of the arrays of tokens."""
    return tuple(name for name in ARRAYS if rows.predicts != 'nothing' or name not in PREDICTED)


def number_arrays(numbers: Sequence[Mapping[str, float]], first: Document) -> Arrays:
    """The numbers of documents as arrays, [documents]; `first` is the first document."""
    out = {}
    for name in first.numbers:
        if name in ARRAYS:
            raise UserError(f'{first.place}: {name} is the name of an array of tokens; give it another name.')
        array = np.array([own[name] for own in numbers])
        out[name] = array.astype(np.float32) if array.dtype.kind == 'f' else array
    return out


def sequences_of(document: Document, rows: TextLayout) -> list[TokenSequence]:
    """What is read and predicted at each position of a document; nothing, or several pieces of it.

    Raises:
      UserError: it must stay whole, is longer than a row, and `longer` refuses it; it is no plain text and has no
        sentences; or a special token is missing.
    """
    if not rows.sentences:
        return sequences_of_tokens(tokens_of(document, rows), document, rows)
    if document.messages:
        raise UserError(f'{document.place}: data.sentences takes plain text, not prompts or messages.')
    each = (document._replace(text=text) for text in sentences(document.text))
    return [sequence for one in each for sequence in sequences_of_tokens(tokens_of(one, rows), one, rows)]


def sequences_of_tokens(tokens: Tokens, document: Document, rows: TextLayout) -> list[TokenSequence]:
    """As `sequences_of`, from the tokens of the document or sentence."""
    ids, counts, sizes = tokens
    if rows.predicts != 'next':
        return _unshifted(ids, sizes, document, rows)
    if document.messages:  # what follows the last answer is never predicted
        last = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
        ids, counts, sizes = ids[:last], counts[:last], sizes[:last]
    found = next_tokens(ids, counts, sizes)
    if not len(found.tokens):
        return []
    whole = bool(document.messages) or not rows.pack
    return [found] if not whole else _fitting(found, document, rows)


def tokens_of(document: Document, rows: TextLayout) -> Tokens:
    """The tokens of a document, whether they count, and the bytes that they stand for; [tokens] each."""
    tokenizer, shifts = rows.tokenizer, rows.predicts == 'next'
    found = list[tuple[Encoded, bool]]()

    def add(token: int | None, counts: bool) -> None:
        if token is not None:
            found.append((Encoded(np.array([token], np.int32), np.zeros(1, np.int32)), counts))

    if shifts:
        add(tokenizer.begin, False)
    for part in parts_of(document, rows.chat):
        if part.special:
            add(tokenizer.id_of(part.text, f'data.chat={rows.chat!r}'), part.counts)
        else:
            found.append((tokenizer.encode(part.text), part.counts))
    talks = bool(document.messages) and document.messages[0][0] != PROMPT
    if shifts and not talks:
        add(end_token(rows), True)
    counts = np.concatenate([np.full(len(one.ids), counts) for one, counts in found])
    return np.concatenate([one.ids for one, _ in found]), counts, np.concatenate([one.bytes for one, _ in found])


def end_token(rows: TextLayout) -> int | None:
    """The token after each document; None if there is none."""
    return with_end(rows.tokenizer, rows.end).end


def _fitting(found: TokenSequence, document: Document, rows: TextLayout) -> list[TokenSequence]:
    size, length = len(found.tokens), rows.length
    if size <= length:
        return [found]
    prompt = int(np.flatnonzero(found.mask)[0]) + 1 if document.messages else 0
    if rows.longer == 'drop':
        return []
    if prompt > length:
        raise UserError(
            f'{document.place}: the prompt has {prompt} tokens, but a row has data.length={length}, so no answer fits; '
            "increase length, or leave such documents out with longer='drop'."
        )
    if rows.longer == 'refuse':
        raise UserError(
            f'{document.place} needs {size} tokens, but a row has data.length={length}; increase length, or set '
            "longer='drop' or longer='cut'."
        )
    return [TokenSequence(*(array[:length] for array in found))]


def _unshifted(ids: np.ndarray, sizes: np.ndarray, document: Document, rows: TextLayout) -> list[TokenSequence]:
    """The sequences of a document whose labels are not shifted: pieces of it, each with its begin and end token."""
    if document.messages:
        raise UserError(f'{document.place}: data.predicts={rows.predicts!r} takes plain text, not prompts or messages.')
    begin, end = ([] if one is None else [one] for one in (rows.tokenizer.begin, end_token(rows)))
    room = rows.length - len(begin) - len(end)
    if room < 1:
        raise UserError(f'data.length is {rows.length}, which leaves no room for a word.')
    if len(ids) > room and not rows.pack:
        if rows.longer == 'refuse':
            raise UserError(
                f'{document.place} has {len(ids)} tokens, but data.length={rows.length} leaves room for {room}; '
                "increase length, or set longer='drop' or longer='cut'."
            )
        ids, sizes = (ids[:0], sizes[:0]) if rows.longer == 'drop' else (ids[:room], sizes[:room])
    out = []
    for start in range(0, len(ids), room):
        words = np.concatenate([begin, ids[start : start + room], end]).astype(np.int32)
        around = [np.zeros(len(one), np.int32) for one in (begin, end)]
        size = np.concatenate([around[0], sizes[start : start + room], around[1]])
        out.append(TokenSequence(words, words, size > 0, size))
    return out
