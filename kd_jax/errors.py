"""Mistakes that the person at the keyboard can mend, and the names they may have meant."""

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(ValueError):
    """A user's mistake. The message is one sentence: what is wrong, where, and how to mend it."""


class Diverged(UserError):
    """A run whose numbers are no longer finite; of a search it is a result like others."""


def suggest(name: Any, known: Iterable[str]) -> str:
    """'Did you mean ...? Known: ...', for the end of a message about an unknown name."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f'Did you mean {near[0]!r}? ' if near else ''
    return f'{hint}Known: {", ".join(known) or "none"}.'
