"""Records the outputs of frozen networks for every example and view, exactly as training computes them."""

import dataclasses
import functools
import hashlib
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from kd_jax.config.errors import UserError
from kd_jax.config.json_files import json_value
from kd_jax.core.forward import run_networks
from kd_jax.core.network import Network
from kd_jax.core.paths import Context, Path, read_path
from kd_jax.core.recipe import Recipe, recordable
from kd_jax.data import augment
from kd_jax.data.batches import batch_shapes, fetch_batch
from kd_jax.data.lazy_images import Images
from kd_jax.data.read_ahead import read_batches
from kd_jax.data.source import Arrays, ReadFromFiles
from kd_jax.devices.matmul_precision import at_precision
from kd_jax.devices.mesh import batch_sharding, local_rows, place_batch, replicated
from kd_jax.devices.processes import values_of_all_processes
from kd_jax.teacher_cache.array_store import ArrayStore, Layout, make_layout
from kd_jax.teacher_cache.trial_batches import try_batches

View = Callable[[Mapping[str, jax.Array], jax.Array, jax.Array], dict[str, jax.Array]]
SAID_EVERY = 30.0  # seconds
SAMPLE = 16  # examples
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """What a run records; made by `cache_options.plan_cache`.

    Attributes:
      recipe: the run's recipe.
      mesh: the run's mesh.
      where: place in the config, for messages.
      arrays: the training split.
      batch_size: examples in a batch of training.
      view: what training makes of a batch: (batch, key, number of the view) -> batch.
      views: number of views of each example.
      augmentation: the options that make the views.
      seed: the seed that the views depend on; None if images are not augmented.
      outputs: shape and dtype, for one example, of each output that is recorded.
      dtype: floating-point outputs of wider types are stored in this type.
      compiler_options: the compiler options of the run's programs, so that the recorded bits are those of training.
      matmul_precision: that of training, for the same reason.
    """

    recipe: Recipe
    mesh: Mesh
    where: str
    arrays: Arrays
    batch_size: int
    view: View
    views: int
    augmentation: Mapping[str, Any]
    seed: int | None
    outputs: Mapping[Path, jax.ShapeDtypeStruct]
    dtype: str
    compiler_options: Mapping[str, str]
    matmul_precision: str

    @property
    def networks(self) -> tuple[Network, ...]:
        return recordable(self.recipe)

    @property
    def layout(self) -> Layout:
        return make_layout(self.views, len(self.arrays['id']), self.batch_size, self.row_bytes)

    @property
    def size(self) -> int:
        """Size of the recording in bytes."""
        return self.views * len(self.arrays['id']) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        return sum(math.prod(a.shape) * self.stored(a.dtype).itemsize for a in self.outputs.values())

    def stored(self, dtype: Any) -> np.dtype:
        """Returns the type in which outputs of type `dtype` are stored."""
        narrower = jnp.dtype(self.dtype)
        wide = jnp.issubdtype(dtype, jnp.floating) and jnp.dtype(dtype).itemsize > narrower.itemsize
        return narrower if wide else jnp.dtype(dtype)

    @functools.cached_property
    def program(self) -> Any:
        """The jitted (frozen, batch, key, view, noise) -> outputs by path, [batch, ...]; copies come second.

        `key` makes the views. `noise` is the number of the networks' own random key, which must change nothing.
        """

        def outputs(frozen, batch, key, view, noise):
            context: Context = {'batch': self.view(batch, key, view)}
            with jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh):
                context, _ = run_networks(self.networks, frozen, context, jax.random.key(noise), train=False)
            axes = {path: examples_axis(self.recipe, path) for path in self.outputs}
            return {str(path): jnp.moveaxis(read_path(context, path), axis, 0) for path, axis in axes.items()}

        whole, split = replicated(self.mesh), batch_sharding(self.mesh)
        return jax.jit(
            at_precision(outputs, self.matmul_precision, self.mesh),
            in_shardings=(None, split, whole, whole, whole),
            out_shardings=whole,
            compiler_options=dict(self.compiler_options),
        )

    @property
    def read(self) -> dict[str, Any]:
        """The arrays of the training split that the frozen networks and the augmentation read."""
        names = {path.name for network in self.networks for path in network.inputs if path.source == 'batch'}
        names |= {'id', *augment.arrays_read(self.augmentation)}
        return {name: array for name, array in self.arrays.items() if name in names}

    def run(
        self, frozen: Mapping[str, Any], key: jax.Array, view: int, positions: Sequence[np.ndarray], noise: int = 0
    ) -> Iterator[Any]:
        """Yields the outputs, on the devices, for each batch of examples at `positions`, [batch_size] each.

        `noise` is the number of the random key of the networks.
        """
        rows, split = local_rows(self.mesh, self.batch_size), batch_sharding(self.mesh)
        seen = np.int32(view)
        batches = read_batches(self.read, lambda number: (positions[number][rows], seen), 0, len(positions))
        for batch in batches:
            yield self.program(frozen, place_batch(split, batch, self.batch_size), key, seen, np.int32(noise))


def recorded_paths(recipe: Recipe) -> list[Path]:
    """Returns the outputs of frozen networks that terms and other networks read, if they depend on the batch alone."""
    fixed = {network.name for network in recordable(recipe)}
    moving = [network for network in recipe.networks if network.name not in fixed]
    read = [path for network in moving for path in network.inputs] + [p for t in recipe.terms for p in t.paths()]
    return sorted({Path(path.source, path.name) for path in read if path.source in fixed}, key=str)


def examples_axis(recipe: Recipe, path: Path) -> int:
    """Returns the axis of examples of an activation: 0, or 1 after the axis of stacked copies."""
    return 1 if recipe.network(path.source).copies else 0


def fingerprint(what: Recording, frozen: Mapping[str, Any], key: jax.Array) -> dict[str, Any]:
    """Returns everything that the recorded bits depend on, as a JSON value."""
    frozen = {network.name: frozen[network.name] for network in what.networks}
    batch = batch_shapes(what.read, what.batch_size)
    program = what.program.lower(frozen, batch, key, np.int32(0), np.int32(0)).as_text()
    return {
        'outputs': {str(path): f'{a.dtype}{list(a.shape)}' for path, a in what.outputs.items()},
        'networks': {network.name: _options(network.module) for network in what.networks},
        'parameters': {name: _digest(tree, what.mesh) for name, tree in frozen.items()},
        'dtype': what.dtype,
        'views': what.views,
        'seed': what.seed,
        'augmentation': json_value(what.augmentation),
        'data': {name: _of_data(array, what) for name, array in what.read.items()},
        'batch_size': what.batch_size,
        'rows of a part': what.layout.rows,
        'mesh': dict(what.mesh.shape),
        'jax version': jax.__version__,
        **({'compiler options': dict(what.compiler_options)} if what.compiler_options else {}),
        'kind of device': what.mesh.devices.flat[0].device_kind,
        'code of model or augmentation': hashlib.sha256(program.encode()).hexdigest(),
    }


def _options(module: Any) -> dict[str, Any]:
    """Returns the options of a model that are plain values; the other options show in the program's text."""
    fields = dataclasses.fields(module) if dataclasses.is_dataclass(module) else ()
    options = {field.name: getattr(module, field.name) for field in fields if field.init}
    return {name: option for name, option in options.items() if isinstance(option, bool | int | float | str)}


def _of_data(array: Any, what: Recording) -> Any:
    """Returns what identifies an array of examples; for examples that are read from files, a sample of them."""
    if not isinstance(array, ReadFromFiles):
        return _digest(array, what.mesh)
    some = np.linspace(0, len(what.arrays['id']) - 1, SAMPLE).astype(int)
    read = fetch_batch({'read': array, 'id': what.arrays['id']}, some)
    if not isinstance(array, Images):
        return {'rows': array.identity(), 'some rows': _digest(read, what.mesh)}
    files = {'files': array.checksum} if array.checksum else {}
    sample = {'some images': _digest(read['image'], what.mesh), **files}
    return {'name': array.name, 'size': array.size, 'resize': array.resize, **sample}


def _digest(tree: Any, mesh: Mesh) -> str:
    found = hashlib.sha256()
    for path, array in jax.tree.leaves_with_path(tree):
        if isinstance(array, jax.Array) and not array.is_fully_addressable:
            array = jax.jit(jnp.asarray, out_shardings=replicated(mesh))(array)
        array = np.ascontiguousarray(array)
        found.update(f'{jax.tree_util.keystr(path)} {array.dtype}{array.shape}'.encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def record_parts(
    what: Recording,
    store: ArrayStore,
    manifest: dict[str, Any],
    frozen: Mapping[str, Any],
    key: jax.Array,
    between: Callable[[], None],
) -> None:
    """Writes the missing parts; logs first how many bytes and seconds this will take.

    Args:
      what: the recording.
      store: where it is stored; the caller holds `store.locked()`.
      manifest: the store's manifest; its `done` counts the complete parts.
      frozen: variables of the frozen networks, by name.
      key: the key of the views.
      between: called before each part; may raise an exception to stop there.
    Raises:
      UserError: an output changes with the random key, is NaN or too large for its type; or the disk is full.
    """
    run = functools.partial(what.run, {network.name: frozen[network.name] for network in what.networks}, key)
    done, cut, writes = agreed_count(manifest['done']), what.layout, jax.process_index() == 0
    seconds = try_batches(what.batch_size, lambda positions, noise: next(run(0, [positions], noise)), what.where)
    _announce(what, store.path, done, seconds)
    if writes:
        store.commit(manifest)
        arrays = {p: store.create(str(p), a.shape, what.stored(a.dtype), cut) for p, a in what.outputs.items()}
    started = said = time.monotonic()
    for number in range(done, cut.count):
        between()
        part = cut.part(number)
        rows = _rows(what, run, *part)
        if writes:
            for path, array in arrays.items():
                store.write(array, part, rows[path])
            store.commit(manifest | {'done': number + 1})
        if time.monotonic() - said > SAID_EVERY or number + 1 == cut.count:
            said = time.monotonic()
            log.info('%s: recorded %d of %d parts, %.0f s', what.where, number + 1, cut.count, said - started)
    agreed_count(cut.count)


def _announce(what: Recording, place: str, done: int, seconds: float) -> None:
    cut, left = what.layout, 1.0 - done / what.layout.count
    batches = cut.views * math.ceil(cut.examples / what.batch_size)
    log.info(
        '%s: recording %s for %d examples, %d view%s each: %.4g MB%s, about %.0f s%s, in %s',
        what.where, ', '.join(map(str, what.outputs)), cut.examples, cut.views, 's' * (cut.views > 1),
        what.size / 1e6, per_token(what), seconds * batches * left,
        f' for the remaining {left:.0%}' if done else '', place,
    )  # fmt: skip


def per_token(what: Recording) -> str:
    """The size of the recording for each token of a view, in words; '' if the data is not text."""
    batch = batch_shapes(what.arrays, 1)
    return f' ({what.row_bytes / batch["tokens"].size:,.4g} bytes a token)' if 'tokens' in batch else ''


def _rows(what: Recording, run, view: int, start: int, stop: int) -> dict[Path, np.ndarray]:
    """Returns the outputs for examples `start` to `stop` - 1 of a view, in the types in which they are stored."""
    size = what.batch_size
    batches = [np.minimum(np.arange(at, at + size), stop - 1).astype(np.int32) for at in range(start, stop, size)]
    # Devices compute the next batch while the host fetches this one.
    fetched = [jax.device_get(now) for now, _ in itertools.pairwise(itertools.chain(run(view, batches), [None]))]
    rows = {path: np.concatenate([part[str(path)] for part in fetched])[: stop - start] for path in what.outputs}
    return {path: _narrowed(what, path, array) for path, array in rows.items()}


def _narrowed(what: Recording, path: Path, rows: np.ndarray) -> np.ndarray:
    if np.isnan(rows).any():
        raise UserError(f"{what.where}, cache: '{path}' is NaN for some examples; check the weights of the network.")
    with np.errstate(over='ignore'):
        narrowed = rows.astype(what.stored(rows.dtype))
    if np.any(np.isinf(narrowed) & ~np.isinf(rows)):
        raise UserError(f"{what.where}, cache: '{path}' is too large for {what.dtype}; set cache.dtype='bfloat16'.")
    return narrowed


def agreed_count(number: int) -> int:
    """Waits for all processes and returns the number of the first one."""
    return int(values_of_all_processes(number)[0, 0])
