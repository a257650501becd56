"""Turns the errors of a full memory, of the machine or of an accelerator, into one sentence."""

import contextlib
from collections.abc import Iterator

from kd_jax.config.errors import UserError, first_line

EXHAUSTED = 'RESOURCE_EXHAUSTED'  # XLA's word; it also stands for other things that run out, such as open files


@contextlib.contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Turns the errors of a full memory into one sentence; other errors pass unchanged.

    Args:
      what: what the block inside the `with` statement does, such as "run 'student'"; for the message.
    Raises:
      UserError: memory could not be allocated.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        if isinstance(error, MemoryError) or (EXHAUSTED in text and 'memory' in text.lower()):
            raise UserError(
                f'{what} needs more memory than there is ({first_line(error)}); make batch_size smaller, set '
                'accumulate, or train fewer runs at once with group_runs=False.'
            ) from error
        raise
