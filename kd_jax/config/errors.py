"""Errors that the user can fix, and suggestions for mistyped names."""

import difflib
from collections.abc import Iterable
from typing import Any

from kd_jax.config import renamed


class UserError(ValueError):
    """A user's mistake. The message is one sentence: what is wrong, where, and how to mend it."""


class Diverged(UserError):
    """A run whose numbers are no longer finite; of a search it is a result like others."""


def suggest(name: Any, known: Iterable[str]) -> str:
    """'Did you mean ...? Known: ...', for the end of a message about an unknown name; an old name gets the new one."""
    known = sorted(known)
    if (new := renamed.OPTIONS.get(name) if isinstance(name, str) else None) in known:
        return f'It is called {new!r} now.'
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f'Did you mean {near[0]!r}? ' if near else ''
    return f'{hint}Known: {", ".join(known) or "none"}.'
