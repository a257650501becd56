"""Documents: the texts that a text source is made of, from files of JSON lines, and how they are split."""

import gzip
import json
import pathlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.json_files import parse_json
from kd_jax.config.ordinary_files import check_unpacked, open_ordinary, size_of, user_path
from kd_jax.data.held_out import SEED

FOLDER = pathlib.Path(__file__).with_name('text')
EMBEDDED = ('handbook', 'plays', 'python_docs', 'sentiment')
ENDINGS = ('.jsonl', '.jsonl.gz')
KINDS = (('text',), ('prompt', 'answer'), ('messages',))  # the keys that hold the text of a line
Messages = tuple[tuple[str, str], ...]  # (role, content)
PROMPT, ANSWER = 'prompt', 'answer'


class Document(NamedTuple):
    """A document, or one example of a larger document.

    Attributes:
      name: documents of one name are never in two splits.
      place: where it is, for messages.
      text: its text, if it is plain text.
      messages: roles and contents otherwise. A pair has the roles 'prompt' and 'answer', and is no conversation.
      numbers: further numbers of the example, by name.
    """

    name: str
    place: str
    text: str = ''
    messages: Messages = ()
    numbers: Mapping[str, float] = {}


def read_documents(path: str) -> list[Document]:
    """Reads a file of JSON lines, or a text that is included in this package.

    A line is an object with `text`, with `prompt` and `answer`, or with `messages`, a list of objects with `role` and
    `content`. It may have a `name`; by default each line is a document of its own. Further numbers are kept.

    Args:
      path: a name of `EMBEDDED`, or the path of a file that ends in .jsonl or .jsonl.gz.
    Raises:
      UserError: the file is missing, damaged or not UTF-8; a line is no such object or differs from the first one; or a
        document is empty.
    """
    if path not in EMBEDDED and not path.endswith(ENDINGS):
        raise UserError(f'data.documents={path!r} is neither a file *.jsonl or *.jsonl.gz nor a text of this package. '
                        f'{suggest(path, EMBEDDED)}')  # fmt: skip
    text = _decoded(_content(FOLDER / f'{path}.jsonl.gz' if path in EMBEDDED else user_path(path), path), path)
    found: list[Document] = []
    for number, line in enumerate(text.split('\n'), 1):
        if not line.strip():
            continue
        place = f'data.documents={path!r}, line {number}'
        try:
            value = parse_json(line)
        except ValueError as error:
            raise UserError(f'{place} is not JSON ({first_line(error)}).') from error
        if not isinstance(value, dict):
            raise UserError(f'{place} is a {type(value).__name__}, but it must be an object such as {{"text": "..."}}.')
        found.append(_parsed(value, f'{path}/{value.get("name", number)}', place))
    if not found:
        raise UserError(f'data.documents={path!r} has no documents.')
    check_same_kind(found, numbers=True)
    return found


def check_same_kind(documents: Sequence[Document], *, numbers: bool) -> None:
    """Checks that documents are all plain texts, all pairs or all conversations.

    Args:
      documents: the documents; at least one.
      numbers: whether they must also have numbers of the same names.
    Raises:
      UserError: a document differs from the first one.
    """
    kinds = [_kind(document) if numbers else _kind(document)[:1] for document in documents]
    for document, kind in zip(documents, kinds, strict=True):
        if kind != kinds[0]:
            shown = ' and '.join(map(', '.join, (kind, kinds[0])))
            raise UserError(f'{document.place}: all lines must be alike, but this one and the first have {shown}.')


def _content(file: pathlib.Path, path: str) -> bytes:
    try:
        with open_ordinary(file) as opened:
            size = size_of(opened)
            if file.suffix != '.gz':
                return opened.read()
            with gzip.GzipFile(fileobj=opened) as unpacked:
                check_unpacked(path, size, _unpacked_size(unpacked, size))
                unpacked.seek(0)
                return unpacked.read()
    except FileNotFoundError:
        raise UserError(f'data.documents={path!r}: there is no such file.') from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f'data.documents={path!r} cannot be read ({first_line(error)}).') from error


def _unpacked_size(unpacked: gzip.GzipFile, packed: int) -> int:
    """The size of an unpacked file, counted no further than is needed to refuse it."""
    size, part = 0, 2**24
    while size <= 2**32 + 64 * packed and (read := len(unpacked.read(part))):
        size += read
    return size


def _decoded(content: bytes, path: str) -> str:
    try:
        return content.decode('utf-8')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise UserError(
            f'data.documents={path!r}, line {line} is not UTF-8 text (byte {error.start:,} of the file); save the file '
            'as UTF-8.'
        ) from error


def _parsed(value: Mapping[str, Any], name: str, place: str) -> Document:
    kind = next((keys for keys in KINDS if set(keys) <= value.keys()), None)
    if kind is None:
        raise UserError(f'{place} has the keys {", ".join(sorted(value))}, but it needs text, or prompt and answer, or '
                        'messages.')  # fmt: skip
    rest = {key: one for key, one in value.items() if key not in (*kind, 'name')}
    numbers = {key: one for key, one in rest.items() if isinstance(one, int | float)}
    if kind == ('text',):
        return checked(Document(name, place, value['text'], (), numbers))
    if kind == (PROMPT, ANSWER):
        return checked(Document(name, place, '', ((PROMPT, value[PROMPT]), (ANSWER, value[ANSWER])), numbers))
    given = value['messages']
    right = isinstance(given, list) and all(
        isinstance(one, dict) and {'role', 'content'} <= one.keys() for one in given
    )
    if not right or not given:
        raise UserError(f'{place}: messages must be a list of objects with role and content.')
    if wrong := {PROMPT, ANSWER} & {str(one['role']) for one in given}:
        raise UserError(
            f'{place}: {min(wrong)!r} is no role of a message; a line with prompt and answer needs no messages.'
        )
    return checked(Document(name, place, '', tuple((one['role'], one['content']) for one in given), numbers))


def _kind(document: Document) -> tuple[str, ...]:
    what = 'text' if not document.messages else 'messages' if document.messages[0][0] != PROMPT else 'prompt and answer'
    return (what, *sorted(document.numbers))


def checked(document: Document) -> Document:
    """Returns the document if it has text, and every text of it is a string.

    Raises:
      UserError: a text is not a string, or is empty.
    """
    texts = [('text', document.text)] if not document.messages else list(document.messages)
    for key, text in texts:
        if not isinstance(text, str) or not isinstance(key, str):
            raise UserError(f'{document.place}: {key} is {json.dumps(text)[:80]}, but it must be a text.')
        if not text.strip():
            raise UserError(f'{document.place}: {key} is empty; leave this document out.')
    return document


def split_documents(documents: Sequence[Document], valid: int, test: int, by: str) -> dict[str, list[Document]]:
    """Splits documents by name into 'train', 'valid' and 'test'; a document is in one split.

    Args:
      documents: the documents, in order.
      valid: number of names that are held out for validation.
      test: number of names that are held out for testing.
      by: 'random' (the same ones for every seed; those for testing do not depend on `valid`) or 'position' (the last
        ones are for testing, those before them for validation).
    Raises:
      UserError: nothing is left for training.
    """
    names = list(dict.fromkeys(document.name for document in documents))
    if min(valid, test) < 0 or valid + test >= len(names):
        raise UserError(
            f'data.valid_documents is {valid} and data.test_documents is {test}, but there are {len(names)} documents '
            'and one must be left for training.'
        )
    order = np.random.default_rng(SEED).permutation(len(names)) if by == 'random' else np.arange(len(names))[::-1]
    split = dict.fromkeys(names, 'train')
    for place, number in enumerate(order[: valid + test].tolist()):
        split[names[number]] = 'test' if place < test else 'valid'
    return {wanted: _of_split(documents, split, wanted) for wanted in ('train', 'valid', 'test')}


def _of_split(documents: Iterable[Document], split: Mapping[str, str], wanted: str) -> list[Document]:
    return [document for document in documents if split[document.name] == wanted]
