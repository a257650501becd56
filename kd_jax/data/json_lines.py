"""Files of JSON lines: each line is a document, which is read and checked when it is asked for."""

import functools
import gzip
import io
import os
import pathlib
import weakref
import zlib
from array import array
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

import numpy as np

from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.json_files import parse_json
from kd_jax.config.ordinary_files import check_unpacked, open_ordinary, size_of, user_path
from kd_jax.data.documents import Document, parse_document

FOLDER = pathlib.Path(__file__).with_name('text')
EMBEDDED = ('handbook', 'plays', 'python_docs', 'sentiment')
ENDINGS = ('.jsonl', '.jsonl.gz')
LINE_BYTES = 2**28
PART = 2**24  # bytes that are unpacked at once
DAMAGE = (OSError, EOFError, zlib.error)  # what a missing or damaged file can raise


class _File(NamedTuple):
    path: str
    read: Callable[[int, int], bytes]
    lines: np.ndarray


class JsonLines(Sequence[Document]):
    """The documents of files of JSON lines, one file after another: a source with random access, as Grain's are.

    A line is an object with `text`, with `prompt` and `answer`, or with `messages`, a list of objects with `role` and
    `content`. It may have a `name`; by default each line is a document of its own. Further numbers are kept. Blank
    lines are left out. In memory are 24 bytes for each line, and the content of compressed files.

    Attributes:
      checksum: a CRC-32 of the content of all files.
    """

    def __init__(self, paths: Sequence[str]):
        """Finds the lines.

        Args:
          paths: names of `EMBEDDED`, or paths of files that end in .jsonl or .jsonl.gz.
        Raises:
          UserError: a file is missing, damaged, has no documents, or has a line of more than `LINE_BYTES` bytes.
        """
        self.checksum = 0
        self._files = [self._opened(path) for path in paths]
        self._begins = np.cumsum([0, *(len(file.lines) for file in self._files)])

    def __len__(self) -> int:
        return int(self._begins[-1])

    def __getitem__(self, index: int) -> Document:  # type: ignore[override]
        """Reads a document.

        Raises:
          UserError: its line is not UTF-8, not JSON or no such object, or a text is empty.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = int(np.searchsorted(self._begins, index, 'right')) - 1
        file = self._files[place]
        start, stop, number = file.lines[index - self._begins[place]].tolist()
        where = f'data.documents={file.path!r}, line {number}'
        try:
            value = parse_json(file.read(start, stop).decode('utf-8'))
        except OSError as error:
            raise UserError(f'data.documents={file.path!r} cannot be read ({first_line(error)}).') from error
        except UnicodeDecodeError as error:
            raise UserError(
                f'{where} is not UTF-8 text (byte {start + error.start:,} of the file); save the file as UTF-8.'
            ) from error
        except ValueError as error:
            mend = '; save the file as UTF-8 without a byte order mark' if 'BOM' in str(error) else ''
            raise UserError(f'{where} is not JSON ({first_line(error)}){mend}.') from error
        if not isinstance(value, dict):
            raise UserError(f'{where} is a {type(value).__name__}, but it must be an object such as {{"text": "..."}}.')
        return parse_document(value, f'{file.path}/{value.get("name", number)}', where)

    def _opened(self, path: str) -> _File:
        if path not in EMBEDDED and not path.endswith(ENDINGS):
            raise UserError(f'data.documents={path!r} is neither a file *.jsonl or *.jsonl.gz nor a text of this '
                            f'package. {suggest(path, EMBEDDED)}')  # fmt: skip
        file = FOLDER / f'{path}.jsonl.gz' if path in EMBEDDED else user_path(path)
        try:
            opened = _unpacked(file, path) if file.suffix == '.gz' else open_ordinary(file)
            weakref.finalize(self, opened.close)
            lines, self.checksum = _find_lines(opened, path, self.checksum)
        except FileNotFoundError:
            raise UserError(f'data.documents={path!r}: there is no such file.') from None
        except DAMAGE as error:
            raise UserError(f'data.documents={path!r} cannot be read ({first_line(error)}).') from error
        if not len(lines):
            raise UserError(f'data.documents={path!r} has no documents.')
        return _File(path, functools.partial(_read, opened), lines)


def _read(opened: IO[bytes], start: int, stop: int) -> bytes:
    """The bytes `start` to `stop` of a file; several threads read at once."""
    if isinstance(opened, io.BytesIO):
        return bytes(opened.getbuffer()[start:stop])
    return os.pread(opened.fileno(), stop - start, start)


def _unpacked(file: pathlib.Path, path: str) -> io.BytesIO:
    """The content of a packed file, read no further than is needed to refuse it."""
    content = io.BytesIO()
    with open_ordinary(file) as opened, gzip.GzipFile(fileobj=opened) as unpacked:
        while part := unpacked.read(PART):
            content.write(part)
            check_unpacked(path, size_of(opened), content.tell())
    content.seek(0)
    return content


def _find_lines(opened: IO[bytes], path: str, checksum: int) -> tuple[np.ndarray, int]:
    """Start, stop and number of each line that is not blank, [lines, 3], and the checksum of all lines."""
    found, start, number = array('q'), 0, 0
    while line := opened.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise UserError(
                f'data.documents={path!r}, line {number} has more than {LINE_BYTES:,} bytes; give each document a line '
                'of its own.'
            )
        checksum = zlib.crc32(line, checksum)
        if line.strip():
            found.extend((start, start + len(line), number))
        start += len(line)
    return np.array(found, np.int64).reshape(-1, 3), checksum
