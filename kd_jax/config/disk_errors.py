"""Turns the errors of a full or unwritable disk, and of too many open files, into one sentence."""

import contextlib
import errno
import os
import pathlib
import resource
from collections.abc import Iterator

from kd_jax.config.errors import MachineError, UserError, first_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OPEN_FILES = (errno.EMFILE, errno.ENFILE)
# Errors that hold for every run of a study, so it ends at once.
OF_THE_MACHINE = (*FULL, *OPEN_FILES, errno.EROFS, errno.EIO)
IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
NOT_OF_THE_FILE = (*OPEN_FILES, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM)
# What libraries raise as another type; they quote the text of the operating system.
QUOTED = (*OF_THE_MACHINE, *NOT_OF_THE_FILE, errno.ENAMETOOLONG)


@contextlib.contextmanager
def disk_errors(directory: pathlib.Path) -> Iterator[None]:
    """Turns the errors of a full or unwritable disk into one sentence; other errors pass unchanged.

    Args:
      directory: where the block inside the `with` statement writes; for the message.
    Raises:
      MachineError: the disk is full, cannot be written at all or has an error, or too many files are open.
      UserError: a file or directory cannot be written.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = error_number(error)
        if number is None:
            raise
        kind = MachineError if number in OF_THE_MACHINE else UserError
        raise kind(
            f'{directory} could not be written {_reason(number, error, "writable")} and run the same command again; '
            'earlier checkpoints are intact.'
        ) from error


def check_readable(error: BaseException, path: pathlib.Path) -> None:
    """Raises a UserError if a file could not be read for a reason that says nothing about what is in it.

    Args:
      error: what was raised while the file was read.
      path: the file or directory, for the message.
    """
    number = error_number(error)
    if number in NOT_OF_THE_FILE or isinstance(error, MemoryError):
        kind = MachineError if number in OF_THE_MACHINE else UserError
        raise kind(
            f'{path} could not be read {_reason(number, error, "readable")} and run the same command again.'
        ) from error


def error_number(error: BaseException) -> int | None:
    """The number of the operating system's error that an exception stands for; None if it stands for none."""
    if isinstance(error, OSError):
        return error.errno or 0
    return next((number for number in QUOTED if os.strerror(number) in str(error)), None)


def _reason(number: int | None, error: BaseException, wanted: str) -> str:
    if number == errno.EFBIG:
        return "because a file may not become that large: raise the limit, for example with 'ulimit -f unlimited',"
    if number in FULL:
        return 'because the disk is full: free some space'
    if number in OPEN_FILES:
        return (
            f'because too many files are open, and this process may open {open_files_limit():,}: allow more, for '
            "example with 'ulimit -n 4096',"
        )
    if number == errno.ENAMETOOLONG:
        return 'because its path is too long: choose a shorter one'
    if number in (None, errno.ENOMEM):
        return 'because there is no memory left: free some'
    if number in IN_THE_WAY:
        return f'({first_line(error)}): move that out of the way'
    return f'({first_line(error)}): make it {wanted}'


def open_files_limit() -> int:
    """How many files this process may open at once."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
