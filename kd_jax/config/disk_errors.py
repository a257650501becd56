"""Turns the errors of a full or unwritable disk into one sentence."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

from kd_jax.config.errors import UserError, first_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_OF_THE_FILE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@contextlib.contextmanager
def disk_errors(directory: pathlib.Path) -> Iterator[None]:
    """Turns the errors of a full or unwritable disk into one sentence; other errors pass unchanged.

    Args:
      directory: where the block inside the `with` statement writes; for the message.
    Raises:
      UserError: the disk is full or cannot be written.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        full = _is_one_of(FULL, error)
        if full or isinstance(error, OSError):
            reason = 'because the disk is full: free some space' if full else f'({first_line(error)}): make it writable'
            raise UserError(
                f'{directory} could not be written {reason} and run the same command again; '
                'earlier checkpoints are intact.'
            ) from error
        raise


def not_of_the_file(error: BaseException) -> bool:
    """Whether an error says nothing about the file that was read: no permission, too many open files, no memory."""
    return isinstance(error, MemoryError) or _is_one_of(NOT_OF_THE_FILE, error)


def _is_one_of(numbers: tuple[int, ...], error: BaseException) -> bool:
    """Whether an error is one of these of the operating system; libraries quote them in errors of their own."""
    return getattr(error, 'errno', None) in numbers or any(os.strerror(number) in str(error) for number in numbers)
