"""Outputs of frozen networks, recorded once for every example and view and replayed in place of the live networks.

What is recorded is what the terms and the trained networks read, from the very views and in batches of the very size
that training uses. Training from the cache is therefore training with the live networks bit for bit, where a network's
output for an example does not depend on the example's place in the batch. That is tried before anything is written: it
holds for the matrix products of XLA on a CPU, but not for all of its convolutions.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from kd_jax import recording, step
from kd_jax.data import augment, pipeline
from kd_jax.data.sources import Arrays
from kd_jax.errors import UserError, suggest
from kd_jax.metrics import flat
from kd_jax.network import Path
from kd_jax.recipe import Recipe
from kd_jax.recording import Recording, View
from kd_jax.store import Store

OPTIONS: dict[str, Any] = {'dtype': 'float32', 'path': '', 'read': 'auto'}
CHOICES = {'dtype': ('float32', 'bfloat16', 'float16'), 'read': ('auto', 'memory', 'disk')}
MEMORY = 2**30  # bytes: what is smaller is read into memory


@dataclasses.dataclass(frozen=True)
class Cache:
    """What a run records and replays.

    Attributes:
      what: is recorded.
      path: a directory or URL; '' for a directory that the fingerprint names.
      read: 'memory' (all of it, at the start), 'disk' (each batch when it is needed), or 'auto' for what fits.
    """

    what: Recording
    path: str
    read: str

    @property
    def in_memory(self) -> bool:
        return self.read == 'memory' or (self.read == 'auto' and self.what.size <= MEMORY)


def plan(
    options: Any,
    recipe: Recipe,
    context: step.Context,
    arrays: Arrays,
    order: pipeline.Order,
    mesh: Mesh,
    view: View,
    augmentation: Mapping[str, Any],
    where: str,
) -> Cache:
    """The cache that a run's `cache` option describes: True, or a dictionary of `OPTIONS`.

    Raises:
      UserError: an unknown option, nothing to record, or a new view each epoch, of which none would be replayed.
    """
    place = f'{where}, cache'
    if options is not True and not isinstance(options, Mapping):
        raise UserError(f"{place} is {options!r}, but it must be True, False or a dictionary, dict(dtype='bfloat16').")
    given = {} if options is True else options
    for key in given:
        if key not in OPTIONS:
            raise UserError(f'{place}: there is no option {key!r}. {suggest(key, OPTIONS)}')
    chosen = {**OPTIONS, **given}
    for key, known in CHOICES.items():
        if chosen[key] not in known:
            raise UserError(f'{place}: there is no {key} {chosen[key]!r}. {suggest(str(chosen[key]), known)}')
    if not isinstance(chosen['path'], str):
        raise UserError(f"{place}.path is {chosen['path']!r}, but it must be a directory or a URL, 'gs://bucket/name'.")
    if chosen['path']:
        Store(chosen['path'])
    if augment.mixes(augmentation):
        raise UserError(
            f'{place}: mixed images change with their neighbours in the batch; leave out data.augment.mixup and cutmix.'
        )
    if not order.views:
        raise UserError(
            f'{place}: with a new view of each image in every epoch nothing would be replayed; set data.views, how '
            'many views of each image are drawn and recorded.'
        )
    outputs = _outputs(recipe, context, order.batch_size, place)
    seed = order.seed if augmentation else None
    what = Recording(
        recipe, mesh, where, arrays, order.batch_size, view, order.views, augmentation, seed, outputs, chosen['dtype']
    )
    return Cache(what, chosen['path'], chosen['read'])


def _outputs(recipe: Recipe, context: step.Context, batch_size: int, place: str) -> dict[Path, jax.ShapeDtypeStruct]:
    """Shape and type, for one example, of all that is to be recorded."""
    outputs = {}
    for path in recording.recorded_paths(recipe):
        seen, axis = context[path.source][path.name], recording.examples_axis(recipe, path)
        if seen.shape[axis : axis + 1] != (batch_size,):
            raise UserError(f"{place}: '{path}' is {list(seen.shape)}, which has no values of single examples.")
        outputs[path] = jax.ShapeDtypeStruct(seen.shape[:axis] + seen.shape[axis + 1 :], seen.dtype)
    if not outputs:
        raise UserError(f'{place}: nothing reads the output of a frozen network, so there is nothing to record.')
    return outputs


def replay(
    cache: Cache, frozen: Mapping[str, Any], key: jax.Array, shared: pathlib.Path, between: Callable[[], None]
) -> dict[str, Any]:
    """The training split with what is recorded under 'recorded'; records first what is not there yet.

    Args:
      cache: from `plan`.
      frozen: variables of the frozen networks, by name.
      key: of the views.
      shared: where caches without a path of their own live, in directories named by their fingerprints.
      between: called before each part that is recorded; may raise to stop there.
    Returns:
      the arrays and, by network and name, recorded ones [views, examples, ...]: NumPy arrays, or `store.Rows`.
    Raises:
      UserError: the cache that is there is of something else, damaged, or cannot be written.
    """
    what, parts = cache.what, recording.fingerprint(cache.what, frozen, key)
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    store, count = Store(cache.path or str(shared / digest)), cache.what.layout.count
    manifest = _manifest(store, parts, count, what.where)
    if not recording.agreed(manifest['done'] == count):
        with store.locked():
            recording.write(what, store, _manifest(store, parts, count, what.where), frozen, key, between)
    recorded: dict[str, dict[str, Any]] = {}
    for path, like in what.outputs.items():
        rows = store.rows(str(path), like.dtype)
        recorded.setdefault(path.source, {})[path.name] = rows[:] if cache.in_memory else rows
    return {**what.arrays, pipeline.RECORDED: recorded}


def _manifest(store: Store, parts: Mapping[str, Any], count: int, where: str) -> dict[str, Any]:
    """The manifest of a store that holds nothing, or some of what is to be recorded."""
    manifest = store.manifest() or {'done': 0, 'parts': count, 'fingerprint': parts}
    there, here = flat(manifest['fingerprint']), flat(parts)
    different = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if not different:
        return manifest
    name = different[0]
    values = [part.get(name, 'absent') for part in (there, here)]
    shown = f' ({values[0]} there, {values[1]} here)' if max(len(str(value)) for value in values) < 40 else ''
    raise UserError(
        f'{where}: the cache {store.path} was recorded from something else, {name.replace("/", ".")} differs{shown}; '
        'delete it, or choose another cache.path.'
    )
