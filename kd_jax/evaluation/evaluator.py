"""Exact evaluation: every example counts once, because the last batch is padded and masked."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from kd_jax.config.errors import UserError, suggest
from kd_jax.core.check_recipe import explain_shape_errors
from kd_jax.core.forward import run_networks
from kd_jax.core.paths import Context, Path, check_paths, read_path
from kd_jax.core.recipe import Recipe
from kd_jax.data.batches import evaluation_view, example_bytes, padded_batches
from kd_jax.data.read_ahead import prefetch, read_batches
from kd_jax.data.sources import Arrays
from kd_jax.devices.mesh import batch_parts, batch_sharding, local_rows, make_mesh, place_batch, replicated
from kd_jax.evaluation.classification import classification_rates, classification_sums

Variables = Mapping[str, Any]


EVALUATE_KEYS = ('logits', 'labels', 'teacher')


BATCH_SIZE = 1000


STACKED_BATCH_SIZE = 4000  # examples in a batch, summed over the runs of a group


BATCH_BYTES = 2**26  # limit for a batch; large examples make smaller batches


class Evaluator:
    """Computes metrics and predictions of a recipe's networks.

    Args:
      recipe: the recipe whose networks are evaluated.
      config: name -> dict(logits=path, labels=path, teacher=path). `labels` defaults to 'batch.label'; `teacher` is
        optional. If the config is empty, every network that is not frozen and has logits is evaluated under its name.
      where: place in the config, for messages.
      mesh: the mesh that batches are split over; by default the first device only.
    Raises:
      UserError: an evaluation has an unknown key or a malformed path.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: Mapping[str, Mapping[str, str]],
        where: str = 'config',
        mesh: Mesh | None = None,
    ):
        self.recipe = recipe
        self.mesh = mesh or make_mesh({}, jax.local_devices()[:1], where)
        chosen = dict(config) or {
            n.name: {'logits': f'{n.name}.logits'} for n in recipe.networks if n.update != 'frozen'
        }
        self._chosen = bool(config)
        self.measured: dict[str, dict[str, Path]] = {}
        for name, paths in chosen.items():
            for key in paths:
                if key not in EVALUATE_KEYS:
                    raise UserError(f"{where}, evaluate '{name}': there is no {key!r}. {suggest(key, EVALUATE_KEYS)}")
            paths = {'labels': 'batch.label', **paths}
            self.measured[name] = {k: Path.parse(p, f"{where}, evaluate '{name}'") for k, p in paths.items()}
        whole = replicated(self.mesh)
        self._sums = jax.jit(self._sums_of_batch, out_shardings=whole)
        self._sums_of_runs = jax.jit(self._sums_of_batch_of_runs, static_argnames='shared', out_shardings=whole)
        self._read = jax.jit(self._read_batch, static_argnames='paths', out_shardings=whole)

    def check(self, context: Context, where: str) -> None:
        """Raises a UserError if an evaluation reads a path that does not exist, or arrays of incompatible shapes.

        If the config names no evaluation, networks without logits (such as connectors) are not evaluated.
        """
        if not self._chosen:
            self.measured = {name: paths for name, paths in self.measured.items() if 'logits' in context[name]}
        for name, paths in self.measured.items():
            place = f"{where}, evaluate '{name}'"
            check_paths(paths.values(), context, place)
            read = {key: context[path.source][path.name] for key, path in paths.items()}
            mask = jax.ShapeDtypeStruct(read['labels'].shape, bool)
            with explain_shape_errors(f'{place}: {", ".join(f"{path} {read[k].shape}" for k, path in paths.items())}'):
                jax.eval_shape(classification_sums, mask=mask, **read)

    def _context(self, variables: Variables, batch: Mapping[str, jax.Array]) -> Context:
        context: Context = {'batch': evaluation_view(batch)}
        with jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh):
            return run_networks(self.recipe.networks, variables, context, jax.random.key(0), train=False)[0]

    def _sums_of_batch(self, variables, batch, mask):
        context = self._context(variables, batch)
        return {
            name: classification_sums(
                read_path(context, paths['logits']),
                read_path(context, paths['labels']),
                mask,
                read_path(context, paths['teacher']) if 'teacher' in paths else None,
            )
            for name, paths in self.measured.items()
        }

    def _sums_of_batch_of_runs(self, variables, batch, mask, shared):
        axes = {name: None if name in shared else 0 for name in variables}
        return jax.vmap(self._sums_of_batch, in_axes=(axes, None, None))(variables, batch, mask)

    def _read_batch(self, variables, batch, paths):
        context = self._context(variables, batch)
        return [read_path(context, path) for path in paths]

    def measure(self, variables: Variables, arrays: Arrays) -> dict[str, dict[str, float]]:
        """Returns the metrics of every evaluation over a split; see `classification_rates`."""
        return self._summaries(self._summed(functools.partial(self._sums, variables), arrays, _batch_size(arrays)))

    def measure_runs(
        self, variables: Variables, arrays: Arrays, runs: int, shared: frozenset[str]
    ) -> list[dict[str, dict[str, float]]]:
        """Returns for each run of a group what `measure` returns for it, up to rounding.

        The variables of the runs are stacked on a leading axis, except those of networks in `shared`. A shared network
        that reads only the batch and other shared networks is computed once for all runs.
        """
        batch_size = max(1, min(_batch_size(arrays), STACKED_BATCH_SIZE // runs))
        total = self._summed(functools.partial(self._sums_of_runs, variables, shared=shared), arrays, batch_size)
        return [self._summaries(jax.tree.map(lambda x, i=i: x[i], total)) for i in range(runs)]

    def _summed(self, sums: Callable[..., Any], arrays: Arrays, batch_size: int) -> Any:
        total: Any = None
        for batch, mask in self._batches(arrays, batch_size):
            of_batch = jax.tree.map(lambda x: np.asarray(x, np.float64), sums(batch=batch, mask=mask))
            total = of_batch if total is None else jax.tree.map(np.add, total, of_batch)
        return total

    def _summaries(self, total: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        return {
            name: classification_rates(sums, self._copies(self.measured[name]['logits']))
            for name, sums in total.items()
        }

    def predict(
        self,
        variables: Variables,
        arrays: Arrays,
        paths: tuple[Path | tuple[Path, ...], ...],
    ) -> list[np.ndarray]:
        """Returns the array at each path for all examples of a split, in order: [*stacked networks, examples, ...]."""
        parts: list[list[np.ndarray]] = [[] for _ in paths]
        axes = [self.stacked_axes(path) for path in paths]
        for batch, mask in self._batches(arrays, _batch_size(arrays)):
            read = self._read(variables, batch, paths)
            for part, array, axis in zip(parts, read, axes, strict=True):
                part.append(np.asarray(array).compress(mask, axis=axis))
        return [np.concatenate(part, axis=axis) for part, axis in zip(parts, axes, strict=True)]

    def _batches(self, arrays: Arrays, batch_size: int) -> Iterator[tuple[dict[str, jax.Array], np.ndarray]]:
        """Yields batches and masks. The batch size is rounded up to suit the mesh; each process reads its own rows."""
        batch_size += -batch_size % batch_parts(self.mesh)
        rows, split = local_rows(self.mesh, batch_size), batch_sharding(self.mesh)
        covering = list(padded_batches(arrays, batch_size))
        read = read_batches(arrays, lambda i: (covering[i][0][rows], None), 0, len(covering))
        placed = (place_batch(split, batch, batch_size) for batch in read)
        for batch, (_, mask) in zip(prefetch(placed), covering, strict=True):
            yield batch, mask

    def _copies(self, path: Path) -> int:
        return next((max(1, n.copies) for n in self.recipe.networks if n.name == path.source), 1)

    def stacked_axes(self, path: Path | tuple[Path, ...]) -> int:
        """Returns the number of axes of stacked networks that come before the axis of examples."""
        if isinstance(path, tuple):
            return 1 + self.stacked_axes(path[0])
        return sum(n.name == path.source and n.copies > 0 for n in self.recipe.networks)


def _batch_size(arrays: Arrays) -> int:
    return max(1, min(BATCH_SIZE, BATCH_BYTES // example_bytes(arrays)))
