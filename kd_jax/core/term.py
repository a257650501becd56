"""A term of a recipe: one weighted loss."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from kd_jax.core.paths import Path


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """One weighted loss: a pure function, the paths it reads, its options and numbers, and an optional mask.

    Attributes:
      name: its name in the recipe and in the metrics.
      loss: the function. It returns one value for each example or position, or one for the whole batch.
      reads: for each positional parameter of `loss`, a path, or a tuple of paths whose arrays are stacked on a new
        leading axis.
      static: the options that are fixed when the step is compiled.
      schedules: for each number in `hparams`, 'weight' included, the name of its schedule; '' for a constant.
      given: the paths of those numbers that a network computes, such as a learned temperature; scalars.
      mask: the path of the mask; None to use all examples.
      compares: whether the loss compares the examples of a batch with each other. It then takes the mask as `where`.
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
        """All paths that the term reads."""
        flat = [p for read in self.reads for p in (read if isinstance(read, tuple) else (read,))]
        return [*flat, *self.given.values(), *([self.mask] if self.mask else [])]
