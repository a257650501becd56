"""Exact evaluation: every example counts once, because the last batch is padded and masked."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from kd_jax.config.errors import UserError
from kd_jax.core.forward import run_networks
from kd_jax.core.paths import Context, Path, read_path
from kd_jax.core.recipe import Recipe
from kd_jax.data.batches import evaluation_view, example_bytes, padded_batches
from kd_jax.data.read_ahead import prefetch, read_batches
from kd_jax.data.source import Arrays
from kd_jax.data.splits import example_count
from kd_jax.devices.mesh import batch_parts, batch_sharding, local_rows, make_mesh, place_batch, replicated
from kd_jax.evaluation.evaluations import Evaluation, check_evaluation, parse_evaluation

Variables = Mapping[str, Any]
BATCH_SIZE = 1000
STACKED_BATCH_SIZE = 4000  # examples in a batch, summed over the runs of a group
BATCH_BYTES = 2**26  # limit for a batch; large examples make smaller batches
READ_BYTES = 2**28  # limit for each array that an evaluation reads; logits of a text are much larger than its tokens


class Evaluator:
    """Computes metrics and predictions of a recipe's networks.

    Args:
      recipe: the recipe whose networks are evaluated.
      config: name -> evaluation, see `parse_evaluation`. If it is empty, every network that is not frozen is evaluated
        as a classifier of 'batch.label' under its own name, if it has logits and does not read 'batch.id': what it
        keeps of a training example says nothing about the test example of the same number.
      where: place in the config, for messages.
      mesh: the mesh that batches are split over; by default the first device only.
      compiler_options: the compiler options of its programs, those of the run that is evaluated.
    Raises:
      UserError: an evaluation is malformed, or two of them set `best`.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: Mapping[str, Mapping[str, Any]],
        where: str = 'config',
        mesh: Mesh | None = None,
        compiler_options: Mapping[str, str] | None = None,
    ):
        self.recipe = recipe
        self.mesh = mesh or make_mesh({}, jax.local_devices()[:1], where)
        chosen: Mapping[str, Mapping[str, Any]] = dict(config) or {
            n.name: {'logits': f'{n.name}.logits'}
            for n in recipe.networks
            if n.update != 'frozen' and 'batch.id' not in map(str, n.inputs)
        }
        self._chosen = bool(config)
        self.measured: dict[str, Evaluation] = {
            name: parse_evaluation(name, options, f"{where}, evaluate '{name}'") for name, options in chosen.items()
        }
        choosing = [name for name, one in self.measured.items() if one.chooses]
        if len(choosing) > 1:
            raise UserError(
                f"{where}, evaluate: '{choosing[0]}' and '{choosing[1]}' both set best, but one evaluation chooses the "
                'best epoch; leave best out of the others.'
            )
        self.stated: dict[str, dict[str, dict[str, str | None]]] = {}
        self._read_bytes = 0  # of one example, in the largest array that an evaluation reads
        compiled = functools.partial(
            jax.jit, out_shardings=replicated(self.mesh), compiler_options=dict(compiler_options or {})
        )
        self._statistics = compiled(self._statistics_of_batch)
        self._statistics_of_runs = compiled(self._of_batch_of_runs, static_argnames='shared')
        self._read = compiled(self._read_batch, static_argnames='paths')

    def check(self, context: Context, where: str, examples: int = 1) -> None:
        """Checks every evaluation, and sets `stated`: evaluation -> metric -> its unit and which way is better.

        If the config names no evaluation, a network is not evaluated unless it gives logits of two or more classes and
        the batch has a label.

        Args:
          context: shapes of everything that a path can read.
          where: place in the config, for messages.
          examples: the number of examples of the largest split.
        Raises:
          UserError: as `check_evaluation`.
        """
        if not self._chosen:
            self.measured = {name: one for name, one in self.measured.items() if _classifies(context, name)}
        for name, one in self.measured.items():
            given = check_evaluation(one, self.recipe.networks, context, examples, f"{where}, evaluate '{name}'")
            self.stated[name] = {metric: dataclasses.asdict(one.metrics.stated[metric]) for metric in given}
        batch = next(iter(context['batch'].values())).shape[0]
        read = [context[path.source][path.name] for one in self.measured.values() for path in one.reads.values()]
        self._read_bytes = max((4 * array.size // batch for array in read), default=0)  # metrics compute in float32

    def _context(self, variables: Variables, batch: Mapping[str, jax.Array]) -> Context:
        context: Context = {'batch': evaluation_view(batch)}
        with jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh):
            return run_networks(self.recipe.networks, variables, context, jax.random.key(0), train=False)[0]

    def _statistics_of_batch(self, variables, batch, mask):
        context = self._context(variables, batch)
        return {name: one.statistics(self.recipe.networks, context, mask) for name, one in self.measured.items()}

    def _of_batch_of_runs(self, variables, batch, mask, shared):
        axes = {name: None if name in shared else 0 for name in variables}
        return jax.vmap(self._statistics_of_batch, in_axes=(axes, None, None))(variables, batch, mask)

    def _read_batch(self, variables, batch, paths):
        context = self._context(variables, batch)
        return [read_path(context, path) for path in paths]

    def measure(self, variables: Variables, arrays: Arrays) -> dict[str, dict[str, float]]:
        """Returns the metrics of every evaluation over a split: evaluation -> metric -> number."""
        found = self._collected(functools.partial(self._statistics, variables), arrays, self._batch_size(arrays))
        return self._values(found)

    def measure_runs(
        self, variables: Variables, arrays: Arrays, runs: int, shared: frozenset[str]
    ) -> list[dict[str, dict[str, float]]]:
        """Returns for each run of a group what `measure` returns for it, up to rounding.

        The variables of the runs are stacked on a leading axis, except those of networks in `shared`. A shared network
        that reads only the batch and other shared networks is computed once for all runs.
        """
        batch_size = max(1, min(self._batch_size(arrays, runs), STACKED_BATCH_SIZE // runs))
        statistics = functools.partial(self._statistics_of_runs, variables, shared=shared)
        found = self._collected(statistics, arrays, batch_size)
        return [self._values([jax.tree.map(lambda x, i=i: x[i], batch) for batch in found]) for i in range(runs)]

    def _collected(self, statistics: Callable[..., Any], arrays: Arrays, batch_size: int) -> list[Any]:
        if not self.measured:
            return []
        return [jax.device_get(statistics(batch=batch, mask=mask)) for batch, mask in self._batches(arrays, batch_size)]

    def _values(self, found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
        """The metrics of a split from the statistics of its batches."""
        return {
            name: one.values(jax.tree.map(lambda *parts: np.stack(parts), *[batch[name] for batch in found]))
            for name, one in self.measured.items()
        }

    def predict(
        self,
        variables: Variables,
        arrays: Arrays,
        paths: tuple[Path | tuple[Path, ...], ...],
        *,
        timed: bool = False,
    ) -> list[np.ndarray]:
        """Returns the array at each path for all examples of a split, in order: [*stacked copies, examples, ...].

        With `timed`, a batch has no more rows than the split has examples, so that no time goes into padding. Otherwise
        splits of all sizes share one program.
        """
        parts: list[list[np.ndarray]] = [[] for _ in paths]
        axes = [self.stacked_axes(path) for path in paths]
        size = min(self._batch_size(arrays), example_count(arrays) if timed else BATCH_SIZE)
        for batch, mask in self._batches(arrays, size):
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

    def _batch_size(self, arrays: Arrays, runs: int = 1) -> int:
        of_reads = READ_BYTES // max(1, self._read_bytes * runs)
        return max(1, min(BATCH_SIZE, BATCH_BYTES // example_bytes(arrays), of_reads))

    def stacked_axes(self, path: Path | tuple[Path, ...]) -> int:
        """Returns the number of axes of stacked copies that come before the axis of examples."""
        if isinstance(path, tuple):
            return 1 + self.stacked_axes(path[0])
        return sum(n.name == path.source and n.copies > 0 for n in self.recipe.networks)


def _classifies(context: Context, name: str) -> bool:
    """Whether the activations of a network can be evaluated as those of a classifier of the batch's label."""
    logits = context[name].get('logits')
    label = context['batch'].get('label')
    classes = label is not None and label.ndim == 1 and jnp.issubdtype(label.dtype, jnp.integer)
    return classes and logits is not None and logits.shape[-1:] > (1,)
