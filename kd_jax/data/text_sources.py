"""Text sources: documents of files, of this package or of TFDS as rows of tokens."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count
from kd_jax.config.ordinary_files import user_path
from kd_jax.data import chat_templates
from kd_jax.data.aligned_text import aligned_rows
from kd_jax.data.documents import Document, check_like, checked, split_documents
from kd_jax.data.json_lines import JsonLines
from kd_jax.data.lazy_text import lazy_rows, measure_documents
from kd_jax.data.prepared_sets import open_prepared
from kd_jax.data.source import Arrays, Source, Vocabulary
from kd_jax.data.token_rows import TextLayout, token_rows
from kd_jax.data.tokenizers import load_tokenizer
from kd_jax.data.word_masking import masked_for_evaluation

HeldBy = Literal['random', 'position']
Longer = Literal['refuse', 'drop', 'cut']
Predicts = Literal['next', 'masked', 'nothing']


def text(
    *, documents: str | Sequence[str], tokenizer: str = 'bytes', length: Count = 128, predicts: Predicts = 'next',
    valid_documents: int = 0, test_documents: int = 0, held_by: HeldBy = 'random', sentences: bool = False,
    pack: bool = True, longer: Longer = 'refuse', chat: str = chat_templates.DEFAULT, end: str | None = None,
    in_memory: bool = True,
) -> Source:  # fmt: skip
    """Text as rows of tokens: tokens, label (the next token), mask, segment, position and bytes, [rows, length].

    Plain texts lie one after another and are cut where a row ends. Pairs of a prompt and an answer, and conversations,
    stay whole, and only the answers count. Each document but a conversation ends with an end token, which counts. A
    document, or all lines of one `name`, is in one split.

    Args:
      documents: 'handbook', 'plays', 'python_docs' or 'sentiment', which are included in this package, or a file
        *.jsonl or *.jsonl.gz; or several of them. Each line of a file is an object with `text`, with `prompt` and
        `answer`, or with `messages`, a list of objects with `role` and `content`; it may have a `name`.
      tokenizer: 'bytes'; 'words', 4,096 pieces of English words; 'vocab:FILE' (the vocab.txt of an uncased BERT);
        'gguf:FILE'; or 'json:FILE' (a tokenizer.json, or a .zip file with one).
      length: number of tokens in a row.
      predicts: 'next' for the next token; 'masked' for masked words, as BERT does, then `label` is the token itself,
        and 15% of the tokens are masked, always the same ones unless augment.mask_words is set; 'nothing' for whole
        documents without `label` and `mask`, such as those of a classifier.
      valid_documents: number of documents that are held out for validation.
      test_documents: number of documents that are held out for testing.
      held_by: which ones: 'random' (the same ones for every seed) or 'position' (the last ones).
      sentences: whether each sentence of a plain text is a document of its own, in the split of its text and without
        the numbers of its line. Headings, code and tables are left out.
      pack: whether documents share rows. False gives each one a row of its own, and adds the numbers that its line has,
        such as a class, as arrays [rows].
      longer: what happens to a document that must stay whole and is longer than a row: 'refuse' it, 'drop' it, or 'cut'
        its end off.
      chat: the template of conversations: 'chatml' (SmolLM2, Qwen2) or 'llama3'.
      end: the special token after each document; None for that of the tokenizer.
      in_memory: whether all rows are made at the start. False makes the rows of a batch when it is needed, for files
        that are larger than memory: the documents are read once to count their tokens, then again for their rows.
    Raises:
      UserError: a file is missing, damaged or not UTF-8; a document is empty, of another kind than the first one, or
        longer than a row and refused; the tokenizer does not exist or lacks a special token; there is no such chat
        template; or no document is left for training.
    """
    paths = _checked_paths(documents)
    chat_templates.chat_template(chat)
    rows = TextLayout(load_tokenizer(tokenizer), length, predicts, pack, longer, chat, end, sentences)
    states = tuple(_state(user_path(path)) for path in paths)
    return _of_files(paths, states, (valid_documents, test_documents, held_by), rows, in_memory)


def _checked_paths(documents: Any) -> tuple[str, ...]:
    paths = tuple(documents) if isinstance(documents, list | tuple) else (documents,)
    if not paths or not all(isinstance(path, str) for path in paths):
        raise UserError(f'data.documents is {documents!r}, but it must be a name or a path, or several of them.')
    return paths


def _read_all(paths: tuple[str, ...], *, numbers: bool) -> list[Document]:
    read = list(JsonLines(paths))
    for document in read:
        check_like(document, read[0], numbers=numbers)
    return read


def _state(file: pathlib.Path) -> tuple[int, int] | None:
    """Size and time of a file, which tell a new file from the one that was read before."""
    return (file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None


def aligned_text(
    *, documents: str | Sequence[str], tokenizer: str, teacher_tokenizer: str, length: Count = 128,
    teacher_length: Count = 128, valid_documents: int = 0, test_documents: int = 0, held_by: HeldBy = 'random',
    longer: Longer = 'refuse', chat: str = chat_templates.DEFAULT,
) -> Source:  # fmt: skip
    """Text for a student and a teacher of unlike tokenizers: a row for each document, in the tokens of both.

    Beside the arrays of `text` there are teacher_tokens, [rows, teacher_length]; and places, teacher_places and
    places_mask, [rows, length]: the positions at which the next tokens of both begin at the same byte of the text.
    There the distributions of the next byte can be compared (model 'first_bytes').

    Args:
      documents: as for `text`.
      tokenizer: that of the student, as for `text`.
      teacher_tokenizer: that of the teacher.
      length: number of tokens in a row of the student.
      teacher_length: number of tokens in a row of the teacher.
      valid_documents, test_documents, held_by, longer, chat: as for `text`.
    Raises:
      UserError: as for `text`; or one tokenizer changes a text and the other does not.
    """
    paths = _checked_paths(documents)
    chat_templates.chat_template(chat)
    layouts = tuple(
        TextLayout(load_tokenizer(name), size, 'next', False, longer, chat, None)
        for name, size in ((tokenizer, length), (teacher_tokenizer, teacher_length))
    )
    states = tuple(_state(user_path(path)) for path in paths)
    return _aligned(paths, states, (valid_documents, test_documents, held_by), layouts)


@functools.lru_cache(maxsize=4)
def _aligned(
    paths: tuple[str, ...], states: Any, held: tuple[int, int, str], layouts: tuple[TextLayout, TextLayout]
) -> Source:
    read = _read_all(paths, numbers=False)
    chosen = split_documents(np.array([document.name for document in read], object), *held)
    arrays = {split: aligned_rows([read[i] for i in own], *layouts) for split, own in chosen.items()}
    own, teacher = map(_vocabulary, layouts)
    return Source(arrays['train'], arrays['test'], None, arrays['valid'], own._replace(teacher=teacher))


@functools.lru_cache(maxsize=4)
def _of_files(
    paths: tuple[str, ...], states: Any, held: tuple[int, int, str], rows: TextLayout, in_memory: bool
) -> Source:
    if in_memory:
        read = _read_all(paths, numbers=rows.has_numbers)
        chosen = split_documents(np.array([document.name for document in read], object), *held)
        return _source({split: _rows([read[i] for i in own], rows) for split, own in chosen.items()}, rows)
    lines = JsonLines(paths)
    measured = measure_documents(lines, rows)
    chosen = split_documents(measured.names, *held)
    arrays = {split: lazy_rows(measured, own, rows, _vocabulary(rows), lines.checksum) for split, own in chosen.items()}
    return _source(arrays, rows)


@functools.lru_cache(maxsize=4)
def _of_tfds(
    name: str, data_dir: str | None, key: str, splits: tuple[str, str | None, str | None], rows: TextLayout,
    in_memory: bool,
) -> Source:  # fmt: skip
    named = {own: split for own, split in zip(('train', 'valid', 'test'), splits, strict=True) if split}
    found, _ = open_prepared(name, data_dir, tuple(named.values()))
    arrays: dict[str, Arrays] = {'valid': {}, 'test': {}}
    for examples, (own, split) in zip(found, named.items(), strict=True):
        documents = _Examples(examples, name, split, key)
        if in_memory or not len(documents):
            arrays[own] = _rows(list(documents), rows)
        else:
            measured = measure_documents(documents, rows)
            arrays[own] = lazy_rows(measured, np.arange(len(documents)), rows, _vocabulary(rows), 0)
    return _source(arrays, rows)


def tfds_text(
    *, name: str, data_dir: str | None = None, key: str = 'text', train_split: str = 'train',
    valid_split: str | None = None, test_split: str | None = 'test', tokenizer: str = 'bytes', length: Count = 128,
    predicts: Predicts = 'next', pack: bool = True, longer: Longer = 'refuse', end: str | None = None,
    in_memory: bool = True,
) -> Source:  # fmt: skip
    """The texts of a prepared TFDS data set, read without TensorFlow; each example is a document. See `text`.

    Args:
      name: name of the TFDS data set.
      data_dir: the directory where it was prepared; None for TFDS's default.
      key: the feature that holds the text.
      train_split: name of the split that serves as the training split.
      valid_split: name of the split that serves as the validation split; None for none.
      test_split: name of the split that serves as the test split; None for none.
      tokenizer, length, predicts, pack, longer, end, in_memory: as for `text`.
    Raises:
      UserError: as for `tfds` and `text`; an example has no text under `key`.
    """
    rows = TextLayout(load_tokenizer(tokenizer), length, predicts, pack, longer, '', end)
    return _of_tfds(name, data_dir, key, (train_split, valid_split, test_split), rows, in_memory)


@dataclasses.dataclass(frozen=True, eq=False)
class _Examples(Sequence[Document]):
    """The texts of a split of a TFDS data set as documents; one is read when it is indexed."""

    examples: Sequence[Any]
    name: str
    split: str
    key: str

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> Document:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(number)
        place, example = f'data set {self.name!r}, split {self.split!r}, example {number}', self.examples[number]
        if self.key not in example:
            raise UserError(f'{place} has no {self.key!r}; data.key must be one of {", ".join(sorted(example))}.')
        content = example[self.key]
        try:
            content = bytes(content).decode('utf-8') if isinstance(content, bytes) else content
        except UnicodeDecodeError as error:
            raise UserError(f'{place} is not UTF-8 text (byte {error.start:,}).') from error
        numbers = {
            k: one.item() for k, v in example.items() if (one := np.asarray(v)).ndim == 0 and one.dtype.kind in 'biuf'
        }
        return checked(Document(f'{self.split}/{number}', place, content, (), numbers))


def _vocabulary(rows: TextLayout) -> Vocabulary:
    return Vocabulary(rows.tokenizer.name, rows.tokenizer.size, rows.tokenizer.mask, rows.predicts)


def _rows(documents: Sequence[Document], rows: TextLayout) -> Arrays:
    """The arrays of documents in memory; {} without rows."""
    arrays = token_rows(documents, rows)
    if rows.predicts != 'masked' or not arrays:
        return arrays
    return masked_for_evaluation(arrays, _vocabulary(rows), np.arange(len(arrays['label'])))


def _source(arrays: dict[str, Arrays], rows: TextLayout) -> Source:
    return Source(arrays['train'], arrays['test'], None, arrays['valid'], _vocabulary(rows))
