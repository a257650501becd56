"""Plans groups of runs: which runs of a study are trained together as one program."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.core.initial_state import init_state
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.program_identity import program_identity
from kd_jax.studies.study import Run
from kd_jax.training.stacked_runs import T, first_equal, group_equal

MAX_RUNS = 64  # runs, each with files and threads of its own


STATE_BYTES = 2**30  # of the stacked states; their gradients take about as much again


DATA_BYTES = 2**31  # of the training sets, where each run has its own


def divide_evenly(places: Sequence[T], most: int, least_parts: int = 1) -> list[list[T]]:
    """In order, parts of nearly one size of at most `most`, `least_parts` or more of them if there are so many."""
    parts = min(max(math.ceil(len(places) / most), least_parts), len(places))
    ends = [round(len(places) * part / parts) for part in range(parts + 1)]
    return [list(places[start:end]) for start, end in itertools.pairwise(ends)]


def partition_runs(prepared_runs: Sequence[PreparedRun], grouping: Any) -> list[list[int]]:
    """The positions of jobs that may be one program: of one structure, with arrays of the same shapes."""
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
    """How many runs like this may be one program, if each brings `data` bytes of its own.

    Streamed data is not packed, nor what is slow in a loop; several processes pack nothing.
    """
    if not prepared.resident or jax.process_count() > 1 or prepared.convolves_on_cpu:
        return 1
    return max(1, min(MAX_RUNS, STATE_BYTES // max(1, state_bytes(prepared)), DATA_BYTES // max(1, data)))


def data_bytes(prepared: PreparedRun) -> int:
    """Size of a training set and of what is recorded for it."""
    arrays = jax.tree.leaves(prepared.splits.arrays['train'])
    return sum(array.nbytes for array in arrays) + (prepared.cache.what.size if prepared.cache else 0)


def state_bytes(prepared: PreparedRun) -> int:
    """Size of a run's state."""
    state, _ = jax.eval_shape(lambda: init_state(prepared.recipe, prepared.context['batch'], prepared.seed))
    sized = [a for a in jax.tree.leaves(state) if not jnp.issubdtype(a.dtype, jax.dtypes.extended)]
    return sum(a.size * a.dtype.itemsize for a in sized)


def plan_groups(
    runs: Sequence[Run],
    grouping: Any = False,
    prepared_runs: Mapping[str, PreparedRun] | None = None,
    workers: int | None = 1,
) -> list[tuple[Run, ...]]:
    """Runs that are trained together, in an order in which each unit follows those it needs.

    Unless `pack` is False, those are together that may be one program (see `packs`) and are as far from the runs that
    need none, so that no unit needs itself.

    Args:
      runs: what is to be trained.
      pack: as in the study's config.
      jobs: of the runs, by name, as far as they are known.
      workers: how many units are trained at once, None for any number: 'auto' keeps each of them busy.
    """
    if grouping is False or (grouping == 'auto' and workers is None):
        return [(run,) for run in runs]
    wanted = {run.name: run.needs for run in runs}

    @functools.cache
    def level(name: str) -> int:
        return 1 + max((level(needed) for needed in wanted[name] if needed in wanted), default=0)

    structures = {run.name: program_identity(run.config, f"run '{run.name}'") for run in runs}
    together = []
    for places in group_equal([(level(run.name), structures[run.name]) for run in runs]):
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


def needed_ids(group: Sequence[Run]) -> set[str]:
    """The ids of the runs that a unit starts from."""
    return {f'{name}-s{run.seed}' for run in group for name in run.needs}
