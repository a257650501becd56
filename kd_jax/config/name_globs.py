"""Globs of names: a name always matches itself, even if it holds a bracket, which a glob would read as a set."""

import fnmatch
from collections.abc import Collection, Iterable


def matching(glob: str, names: Iterable[str]) -> list[str]:
    """The names that a glob matches, in their order; the name that is spelt like the glob is the only match."""
    names = list(names)
    return [glob] if glob in names else [name for name in names if fnmatch.fnmatchcase(name, glob)]


def split_globs(text: str, names: Collection[str]) -> list[str]:
    """The globs in a text, which commas separate; a name that holds commas itself stays whole."""
    parts, globs = text.split(','), []
    while parts:
        count = next((n for n in range(len(parts), 1, -1) if ','.join(parts[:n]) in names), 1)
        globs.append(','.join(parts[:count]))
        parts = parts[count:]
    return [glob for glob in globs if glob]
