"""Turns the errors of a full or unwritable disk into one sentence."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

from kd_jax.config.errors import UserError, first_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
        full = getattr(error, 'errno', None) in FULL or any(os.strerror(number) in str(error) for number in FULL)
        if full or isinstance(error, OSError):
            reason = 'because the disk is full: free some space' if full else f'({first_line(error)}): make it writable'
            raise UserError(
                f'{directory} could not be written {reason} and run the same command again; '
                'earlier checkpoints are intact.'
            ) from error
        raise
