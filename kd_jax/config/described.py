"""What an option of a config means. The code that reads the options and docs/options.md share these descriptions."""

from typing import Any, NamedTuple


class Described(NamedTuple):
    """An option: its meaning, in words for users, and its default. REQUIRED says that there is none."""

    meaning: str
    default: Any = None
    kind: str = ''  # its type and range, in words; '' if the code declares them elsewhere


REQUIRED = object()
