"""Plans groups of runs: which runs of a study are trained together as one program."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.program_identity import program_identity
from kd_jax.studies.study import Run
from kd_jax.training.batch_feed import CHUNK, CONVOLUTION_WORK
from kd_jax.training.stacked_runs import T, first_equal, group_equal

MAX_RUNS = 64  # in a group; each run has its own files and threads
STATE_BYTES = 2**30  # limit for the stacked states; the gradients need about as much again
DATA_BYTES = 2**31  # limit for the training sets, if each run has its own


def divide_evenly(places: Sequence[T], most: int, least_parts: int = 1) -> list[list[T]]:
    """Splits `places`, in order, into parts of nearly equal size.

    Args:
      places: what is split.
      most: the maximum size of a part.
      least_parts: the minimum number of parts, if there are enough elements.
    """
    parts = min(max(math.ceil(len(places) / most), least_parts), len(places))
    ends = [round(len(places) * part / parts) for part in range(parts + 1)]
    return [list(places[start:end]) for start, end in itertools.pairwise(ends)]


def partition_runs(prepared_runs: Sequence[PreparedRun], grouping: Any) -> list[list[int]]:
    """Splits prepared runs into groups, as lists of positions; the runs of a group can be trained as one program.

    They have the same structure and arrays of the same shapes. Groups are no larger than `group_limit`.
    """
    if grouping is False or len(prepared_runs) == 1:
        return [[position] for position in range(len(prepared_runs))]
    keys = []
    for prepared in prepared_runs:
        arrays = (
            {name: (a.shape, a.dtype) for name, a in prepared.splits.arrays['train'].items()}
            if prepared.resident
            else {}
        )
        keys.append((program_identity(prepared.config, prepared.where), prepared.order.steps_per_epoch, arrays))
    parts = []
    for places in group_equal(keys):
        splits = [prepared_runs[i].splits.arrays['train'] for i in places]
        one = len(set(first_equal(splits))) == 1 and not prepared_runs[places[0]].cache
        parts += divide_evenly(
            places, group_limit(prepared_runs[places[0]], 0 if one else data_bytes(prepared_runs[places[0]]))
        )
    return parts


def group_limit(prepared: PreparedRun, data: int = 0) -> int:
    """The maximum number of runs like this one in a group, if each run has `data` bytes of its own data.

    The limit is 1 for streamed data and with several processes. Large convolutions on CPUs have a lower limit, so that
    a chunk of the whole group takes seconds.
    """
    if not prepared.resident or jax.process_count() > 1:
        return 1
    most = min(MAX_RUNS, STATE_BYTES // max(1, state_bytes(prepared)), DATA_BYTES // max(1, data))
    if prepared.convolves_on_cpu:
        most = min(most, CONVOLUTION_WORK // (prepared.convolution_work * CHUNK))
    return max(1, most)


def data_bytes(prepared: PreparedRun) -> int:
    """The size of a run's training set and of the outputs recorded for it, in bytes."""
    arrays = jax.tree.leaves(prepared.splits.arrays['train'])
    return sum(array.nbytes for array in arrays) + (prepared.cache.what.size if prepared.cache else 0)


def state_bytes(prepared: PreparedRun) -> int:
    """The size of a run's training state, in bytes."""
    state, _ = prepared.initial_shapes
    sized = [a for a in jax.tree.leaves(state) if not jnp.issubdtype(a.dtype, jax.dtypes.extended)]
    return sum(a.size * a.dtype.itemsize for a in sized)


def plan_groups(
    runs: Sequence[Run],
    grouping: Any = False,
    prepared_runs: Mapping[str, PreparedRun] | None = None,
    workers: int | None = 1,
) -> list[tuple[Run, ...]]:
    """Divides runs into groups that are trained together; each group follows the groups that it needs.

    If `grouping` is False, each run is a group. Otherwise the runs of a group can be one program (see
    `program_identity`) and have the same depth in the graph of dependencies. Therefore no group needs itself.

    Args:
      runs: the runs to train.
      grouping: the option `group_runs` of the study's config.
      prepared_runs: run name -> prepared run, for the runs that are already prepared. A transform is a group of its
        own, and so is a run that takes over a model (`like`) and is not prepared.
      workers: how many groups are trained at once, None for any number; with 'auto', there are enough groups for all
        workers.
    """
    if grouping is False or (grouping == 'auto' and workers is None):
        return [(run,) for run in runs]
    wanted = {run.name: run.needs for run in runs}

    @functools.cache
    def level(name: str) -> int:
        return 1 + max((level(needed) for needed in wanted[name] if needed in wanted), default=0)

    structures = {run.name: _structure(run, (prepared_runs or {}).get(run.name)) for run in runs}
    together = []
    for places in group_equal([(level(run.name), structures[run.name] or run.id) for run in runs]):
        prepared = (prepared_runs or {}).get(runs[places[0]].name)
        most, parts = group_limit(prepared) if prepared else MAX_RUNS, workers if grouping == 'auto' and workers else 1
        together += [tuple(runs[i] for i in part) for part in divide_evenly(places, most, parts)]
    group_of = {run.id: group for group in together for run in group}
    ordered: dict[str, tuple[Run, ...]] = {}

    def add(group: tuple[Run, ...]) -> None:
        for needed in sorted(needed_ids(group) & group_of.keys()):
            add(group_of[needed])
        ordered.setdefault(group[0].id, group)

    for group in together:
        add(group)
    return list(ordered.values())


def _structure(run: Run, prepared: PreparedRun | None) -> dict[str, Any] | None:
    """The program identity of a run; None for a run that is trained in no group or whose model is not known yet."""
    config = run.config if prepared is None else prepared.config
    if 'transform' in config or any('like' in options for options in config.get('networks', {}).values()):
        return None
    return program_identity(config, f"run '{run.name}'")


def needed_ids(group: Sequence[Run]) -> set[str]:
    """The ids of the runs that a group starts from."""
    return {needed for run in group for needed in run.needed_ids}
