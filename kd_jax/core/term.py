"""A term of a recipe: one weighted loss."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from kd_jax.core.paths import Path


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """One weighted loss: a pure function, the paths it reads, its options, and an optional mask.

    `reads` has, for each positional parameter of `loss`, a path or a tuple of paths (stacked on a new leading axis).
    `given` has the paths of those of its numbers that a network gives, one for all examples; a temperature, say.
    `compares` says that the loss relates the examples of a batch to each other: it declares `where`, for the mask.
    """

    name: str
    loss: Callable[..., Any]
    reads: tuple[Path | tuple[Path, ...], ...]
    static: Mapping[str, Any]
    schedules: Mapping[str, str]
    given: Mapping[str, Path]
    mask: Path | None = None
    compares: bool = False

    def paths(self) -> list[Path]:
        flat = [p for read in self.reads for p in (read if isinstance(read, tuple) else (read,))]
        return [*flat, *self.given.values(), *([self.mask] if self.mask else [])]
