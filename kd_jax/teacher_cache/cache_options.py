"""The `cache` option of a run: what is recorded, where it is stored, and how it is read."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from kd_jax.config.described import Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.core.paths import Context, Path
from kd_jax.core.recipe import Recipe
from kd_jax.data import augment
from kd_jax.data.example_order import ExampleOrder
from kd_jax.data.source import Arrays
from kd_jax.teacher_cache.array_store import ArrayStore
from kd_jax.teacher_cache.recording import Recording, View, examples_axis, recorded_paths

OPTIONS = {
    'dtype': Described('the type in which outputs of wider types are stored', 'float32'),
    'path': Described('below which directory or URL it is stored; by default in the work directory', '', 'text'),
    'read': Described(
        "'memory' reads everything at the start, 'disk' each batch when it is needed; 'auto' chooses 'memory' for up "
        'to 1 GiB',
        'auto',
    ),
}
CHOICES = {'dtype': ('float32', 'bfloat16', 'float16'), 'read': ('auto', 'memory', 'disk')}
MEMORY = 2**30  # bytes; read='auto' reads recordings up to this size into memory


@dataclasses.dataclass(frozen=True)
class TeacherCache:
    """What a run records and replays.

    Attributes:
      what: the recording.
      path: the directory or URL below which it lies; '' for the work directory.
      read: 'memory' (everything at the start), 'disk' (each batch when it is needed), or 'auto' ('memory' if the
        recording has at most `MEMORY` bytes, else 'disk').
    """

    what: Recording
    path: str
    read: str

    @property
    def in_memory(self) -> bool:
        return self.read == 'memory' or (self.read == 'auto' and self.what.size <= MEMORY)


def plan_cache(
    options: Any,
    recipe: Recipe,
    context: Context,
    arrays: Arrays,
    order: ExampleOrder,
    mesh: Mesh,
    view: View,
    augmentation: Mapping[str, Any],
    where: str,
    compiler_options: Mapping[str, str],
    matmul_precision: str,
) -> TeacherCache:
    """Plans the cache that a run's `cache` option describes.

    Args:
      options: the `cache` option: True, or a dictionary of `OPTIONS`.
      recipe: the run's recipe.
      context: shapes of all activations, from a batch of the run's size.
      arrays: the training split.
      order: the run's order of examples, with its batch size, seed and views.
      mesh: the run's mesh.
      view: what training makes of a batch, as in `Recording`.
      augmentation: the augmentations of the training split.
      where: place in the config, for messages.
      compiler_options: the compiler options of the run's programs.
      matmul_precision: that of the run.
    Raises:
      UserError: an option is unknown, there is nothing to record, or nothing would be replayed because each epoch has
        a new view.
    """
    place = f'{where}, cache'
    chosen = _checked_options(options, place)
    if augment.mixes(augmentation):
        raise UserError(
            f'{place}: mixed images depend on their neighbours in the batch; leave out data.augment.mixup and cutmix.'
        )
    if not order.views:
        raise UserError(
            f'{place}: with a new view of each image in every epoch nothing would be replayed; set data.views to the '
            'number of views of each image to record.'
        )
    outputs = _outputs(recipe, context, order.batch_size, place)
    seed = order.seed if augmentation else None
    what = Recording(
        recipe, mesh, where, arrays, order.batch_size, view, order.views, augmentation, seed, outputs, chosen['dtype'],
        compiler_options, matmul_precision,
    )  # fmt: skip
    return TeacherCache(what, chosen['path'], chosen['read'])


def _checked_options(options: Any, place: str) -> dict[str, Any]:
    """Returns the value of every option of `OPTIONS`."""
    if options is not True and not isinstance(options, Mapping):
        raise UserError(
            f"{place} is {options!r}, but it must be True, False or a dictionary such as dict(dtype='bfloat16')."
        )
    given = {} if options is True else options
    for key in given:
        if key not in OPTIONS:
            raise UserError(f'{place}: there is no option {key!r}. {suggest(key, OPTIONS)}')
    chosen = {**{key: option.default for key, option in OPTIONS.items()}, **given}
    for key, known in CHOICES.items():
        if chosen[key] not in known:
            raise UserError(f'{place}: there is no {key} {chosen[key]!r}. {suggest(str(chosen[key]), known)}')
    if not isinstance(chosen['path'], str):
        raise UserError(
            f"{place}.path is {chosen['path']!r}, but it must be a directory or a URL such as 'gs://bucket/name'."
        )
    if chosen['path']:
        ArrayStore(chosen['path'])  # refuses a path that cannot be opened
    return chosen


def _outputs(recipe: Recipe, context: Context, batch_size: int, place: str) -> dict[Path, jax.ShapeDtypeStruct]:
    """Returns shape and dtype, for one example, of everything that is recorded."""
    outputs = {}
    for path in recorded_paths(recipe):
        seen, axis = context[path.source][path.name], examples_axis(recipe, path)
        if seen.shape[axis : axis + 1] != (batch_size,):
            raise UserError(
                f"{place}: '{path}' cannot be recorded, because its shape {list(seen.shape)} has no axis of examples."
            )
        outputs[path] = jax.ShapeDtypeStruct(seen.shape[:axis] + seen.shape[axis + 1 :], seen.dtype)
    if not outputs:
        changing = [network.name for network in recipe.frozen if network.schedules or network.own_batches]
        hint = f' (the outputs of {", ".join(changing)} change with a schedule or with own_batches)' if changing else ''
        raise UserError(
            f'{place}: nothing reads the output of a frozen network{hint}, so there is nothing to record; leave cache '
            'out.'
        )
    return outputs
