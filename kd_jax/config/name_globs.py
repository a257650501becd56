"""Globs of names: a name always matches itself, even if it holds a bracket, which a glob would read as a set."""

import fnmatch
from collections.abc import Iterable


def matching(glob: str, names: Iterable[str]) -> list[str]:
    """The names that a glob matches, in their order; the name that is spelt like the glob is the only match."""
    names = list(names)
    return [glob] if glob in names else [name for name in names if fnmatch.fnmatchcase(name, glob)]
