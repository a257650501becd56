"""Paths such as 'student.logits': how networks and terms name the arrays that they read.

A path SOURCE.NAME reads `context[SOURCE][NAME]`. The context of a step is a dictionary of dictionaries of arrays:

- `batch`: the arrays of the batch as networks see it, [batch, ...]: `image`, `label`, `id`, any other array of the
  source, and in training `target` if images are mixed. `arrays.batch_names` describes them. The key `recorded` of a
  batch is not among them.
- NETWORK, the name of a network of the recipe: its activations by name, as its model returns them. A model that returns
  one array gives `logits`. Most activations are [batch, ...]; the model says so where they are not (a learned
  temperature is a scalar). A network with stacked copies gives [copies, batch, ...].

There are no other keys. In training, `core.forward.open_context` makes the context with `batch` and the networks whose
outputs were recorded, which hold their recorded activations alone. `core.forward.run_networks` then adds each network
after it has run, so a network can read only networks that ran before it. In evaluation the context starts with `batch`
alone and every network runs. Before training, `core.check_recipe` makes a context of shapes in place of arrays.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError, suggest

Context = Mapping[str, Mapping[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Path:
    """The place of an array in the context, such as 'student.logits' or 'batch.label'.

    Attributes:
      source: 'batch' or the name of a network.
      name: the name of the array there.
      stop: whether the array is a constant for gradients; written as '~peer.logits'.
    """

    source: str
    name: str
    stop: bool = False

    def __str__(self) -> str:
        return f'{"~" if self.stop else ""}{self.source}.{self.name}'

    @classmethod
    def parse(cls, text: Any, where: str) -> 'Path':
        """Parses a path; raises a UserError if `text` is none. `where` is the place in the config, for the message."""
        if not isinstance(text, str) or '.' not in text:
            raise UserError(f"{where}: a path looks like 'student.logits' or 'batch.label', not {text!r}.")
        source, _, name = text.removeprefix('~').partition('.')
        return cls(source, name, text.startswith('~'))


def parse_paths(read: Any, where: str) -> Path | tuple[Path, ...]:
    """Parses the path, or the tuple of paths, in a config."""
    if isinstance(read, list | tuple) and read:
        return tuple(Path.parse(path, where) for path in read)
    return Path.parse(read, where)


def read_path(context: Context, path: Path | tuple[Path, ...]) -> jax.Array:
    """Reads the array at a path; for a tuple of paths, their arrays stacked on a new leading axis."""
    if isinstance(path, tuple):
        return jnp.stack([read_path(context, p) for p in path])
    array = context[path.source][path.name]
    return jax.lax.stop_gradient(array) if path.stop else array


def check_paths(paths: Iterable[Path], context: Context, where: str) -> None:
    """Raises a UserError, with the nearest path and all known paths, if one of `paths` does not exist."""
    known = [f'{source}.{name}' for source, names in context.items() for name in names]
    for path in paths:
        if path.name not in context.get(path.source, {}):
            raise UserError(f"{where} reads '{path}', which does not exist. {suggest(str(path), known)}")
