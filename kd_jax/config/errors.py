"""Errors that the user can fix, and suggestions for mistyped names."""

import difflib
from collections.abc import Iterable
from typing import Any

from kd_jax.config import renamed
from kd_jax.config.visible_text import visible


class UserError(ValueError):
    """A mistake that the user can correct. The message says what is wrong, where it is, and how to correct it.

    The message may quote a file, so control characters in it become escapes.
    """

    def __init__(self, message: object = ''):
        super().__init__(visible(str(message)))


class Diverged(UserError):
    """The run's loss or gradient became NaN or infinite. A search counts the trial as failed and goes on."""


class MachineError(UserError):
    """The machine, not a run, is at fault: the disk is full, for example. A study ends instead of trying other runs."""


def suggest(name: Any, known: Iterable[str]) -> str:
    """Ends a message about an unknown name: 'Did you mean ...? Known: ...', or the new name of a renamed option."""
    known = sorted(known)
    if (new := renamed.OPTIONS.get(name) if isinstance(name, str) else None) in known:
        return f'It is called {new!r} now.'
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f'Did you mean {near[0]!r}? ' if near else ''
    return f'{hint}Known: {", ".join(known) or "none"}.'


def first_line(error: BaseException) -> str:
    """The first line of an error's message, to be quoted in another message, in at most 300 characters.

    The line has no full stop at its end. An error without a message gives the name of its type.
    """
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300].rstrip('.')
