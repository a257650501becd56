"""Parses and checks the section `evaluate` of a run's config."""

import dataclasses
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kd_jax import evaluation
from kd_jax.config.described import Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import check_option
from kd_jax.config.import_by_name import find_by_name, parameters_of
from kd_jax.config.own_code import explain_own_code
from kd_jax.core.network import Network
from kd_jax.core.paths import Context, Path, check_paths, read_path
from kd_jax.core.shape_errors import explain_shape_errors, shown_paths
from kd_jax.evaluation.metrics import Metrics

OPTIONS = {
    'metrics': Described('name of the family of metrics, or your own', 'classification', 'text'),
    'best': Described(
        'the metric by which the best epoch is chosen, on validation; at most one evaluation of a run sets it',
        'that of the family',
        'text',
    ),
}
STATISTICS_BYTES = 2**31  # limit for the statistics of one split, on the host


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is measured under one name.

    Attributes:
      name: its name in the config and in results.
      metrics: the family of metrics.
      reads: for each parameter of the family that is given, the path of its array.
      early: options of the family's `statistics`.
      late: options of the family's `values`.
      best: the metric by which it is judged.
      chooses: whether the config sets `best`, so that this evaluation chooses the best epoch of its run.
    """

    name: str
    metrics: Metrics
    reads: Mapping[str, Path]
    early: Mapping[str, Any]
    late: Mapping[str, Any]
    best: str
    chooses: bool = False

    def statistics(self, networks: Sequence[Network], context: Context, where: jax.Array) -> Mapping[str, jax.Array]:
        """The statistics of a batch, with an axis of copies in front (of size 1 without copies).

        A network with copies is measured once for each copy. What another network with as many copies gives is read
        copy by copy; everything else is the same for all copies.
        """
        copies = {name: self._copies(networks, path) for name, path in self.reads.items()}
        first = next(iter(copies.values()))
        arrays = {name: read_path(context, path) for name, path in self.reads.items()}

        def of_one(arrays: Mapping[str, jax.Array]) -> Mapping[str, jax.Array]:
            return self.metrics.statistics(**arrays, where=where, **self.early)

        if not first:
            return jax.tree.map(lambda array: array[None], of_one(arrays))
        axes = {name: 0 if number == first else None for name, number in copies.items()}
        return jax.vmap(of_one, in_axes=(axes,))(arrays)

    def _copies(self, networks: Sequence[Network], path: Path) -> int:
        return next((network.copies for network in networks if network.name == path.source), 0)

    def values(self, statistics: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of a split, from the statistics of its batches: [batches, copies, ...]."""
        return self.metrics.values(statistics, **self.late)

    def is_better(self, value: float | None, than: float | None) -> bool:
        """Whether a value of the metric `best` beats another. Any defined value beats an undefined one."""
        if value is None or not math.isfinite(value):
            return False
        if than is None or not math.isfinite(than):
            return True
        return value < than if self.metrics.stated[self.best].better == 'lower' else value > than


def parse_evaluation(name: str, config: Mapping[str, Any], where: str) -> Evaluation:
    """Parses one evaluation.

    Args:
      name: its name.
      config: `metrics`, the name of a family (default 'classification'); `best`, the metric that chooses the best
        epoch; the paths and options of the family.
      where: the place in the config, for messages.
    Raises:
      UserError: an unknown family, path, option or metric; a path that is missing or malformed.
    """
    family = find_by_name(config.get('metrics', OPTIONS['metrics'].default), evaluation, 'family of metrics', where)
    if not isinstance(family, Metrics):
        raise UserError(
            f'{where}: {config["metrics"]!r} is not a family of metrics; make it a `kd_jax.evaluation.metrics.Metrics`.'
        )
    shown = config.get('metrics', OPTIONS['metrics'].default)
    positional, early = parameters_of(family.statistics)
    late = parameters_of(family.values)[1]
    options = {key: parameter for key, parameter in (early | late).items() if key != 'where'}
    for key in config:
        if key not in (*positional, *options, *OPTIONS):
            hint = suggest(key, [*positional, *options, *OPTIONS])
            raise UserError(f'{where}: there is no {key!r} for metrics {shown!r}. {hint}')
    paths = {**family.defaults, **{key: config[key] for key in positional if config.get(key) is not None}}
    signature = inspect.signature(family.statistics).parameters
    missing = [key for key in positional if key not in paths and signature[key].default is inspect.Parameter.empty]
    if missing:
        raise UserError(f'{where}: metrics {shown!r} needs a path for {" and ".join(missing)}.')
    given = {key: config[key] for key in options if key in config}
    for key, option in given.items():
        check_option(option, options[key].annotation, f'{where}.{key}')
    judges = [metric for metric, stated in family.stated.items() if stated.better]
    best = config.get('best', family.best)
    if best not in judges:
        raise UserError(
            f'{where}: best is {best!r}, but metrics {shown!r} cannot choose by it. {suggest(best, judges)}'
        )
    return Evaluation(
        name,
        family,
        {key: Path.parse(paths[key], where) for key in positional if key in paths},
        {key: option for key, option in given.items() if key in early},
        {key: option for key, option in given.items() if key in late},
        best,
        'best' in config,
    )


def judge_of(evaluations: Iterable[Evaluation]) -> Evaluation | None:
    """The evaluation that chooses the best epoch: the one that sets `best`, else the first; None if there is none."""
    known = list(evaluations)
    return next((one for one in known if one.chooses), known[0] if known else None)


def check_evaluation(
    one: Evaluation, networks: Sequence[Network], context: Context, examples: int, where: str
) -> list[str]:
    """Checks the paths and shapes of an evaluation, and returns the metrics that it gives.

    Args:
      one: the evaluation.
      networks: the networks of the recipe.
      context: shapes of everything that a path can read.
      examples: the number of examples of the largest split.
      where: the place in the config, for messages.
    Raises:
      UserError: a path does not exist, shapes do not fit, statistics need too much memory, or `best` is a metric that
        needs a path that is not given.
    """
    check_paths(one.reads.values(), context, where)
    batch = next(iter(context['batch'].values())).shape[0]
    mask = jax.ShapeDtypeStruct((batch,), bool)
    with explain_shape_errors(f'{where} does not fit {shown_paths(one.reads.values(), context)}'):
        shapes = jax.eval_shape(lambda c, w: one.statistics(networks, c, w), context, mask)
    size = sum(math.prod(array.shape) * array.dtype.itemsize for array in shapes.values()) * examples / batch
    if size > STATISTICS_BYTES:
        raise UserError(
            f'{where}: these metrics need {size / 2**30:.1f} GiB of memory for {examples} examples; the limit is '
            f'{STATISTICS_BYTES / 2**30:.0f} GiB.'
        )
    with explain_own_code(f'{where}: the metrics fail'):
        given = list(one.values({name: np.zeros((1, *array.shape), array.dtype) for name, array in shapes.items()}))
    if one.best not in given:
        raise UserError(f'{where}: best is {one.best!r}, which needs another path. {suggest(one.best, given)}')
    return given
