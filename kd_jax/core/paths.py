"""Paths such as 'student.logits': how networks and terms name the arrays that they read."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError, suggest

Context = Mapping[str, Mapping[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Path:
    """Where a network or a term reads: 'student.logits', 'batch.label'; '~peer.logits' stops the gradient."""

    source: str
    name: str
    stop: bool = False

    def __str__(self) -> str:
        return f'{"~" if self.stop else ""}{self.source}.{self.name}'

    @classmethod
    def parse(cls, text: Any, where: str) -> 'Path':
        if not isinstance(text, str) or '.' not in text:
            raise UserError(f"{where}: a path looks like 'student.logits' or 'batch.label', not {text!r}.")
        source, _, name = text.removeprefix('~').partition('.')
        return cls(source, name, text.startswith('~'))


def parse_paths(read: Any, where: str) -> Path | tuple[Path, ...]:
    """The path, or the tuple of paths, that a config names."""
    return Path.parse(read, where) if isinstance(read, str) else tuple(Path.parse(p, where) for p in read)


def read_path(context: Context, path: Path | tuple[Path, ...]) -> jax.Array:
    """The array at a path; of several paths, their arrays stacked on a new leading axis."""
    if isinstance(path, tuple):
        return jnp.stack([read_path(context, p) for p in path])
    array = context[path.source][path.name]
    return jax.lax.stop_gradient(array) if path.stop else array


def check_paths(paths: Iterable[Path], context: Context, where: str) -> None:
    """Raises a UserError that names the nearest path and all there are, if one of `paths` does not exist."""
    known = [f'{source}.{name}' for source, names in context.items() for name in names]
    for path in paths:
        if path.name not in context.get(path.source, {}):
            raise UserError(f"{where} reads '{path}', which nothing gives. {suggest(str(path), known)}")
