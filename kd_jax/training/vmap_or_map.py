"""Chooses between `vmap` and `lax.map` for a group of runs by timing both."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.program_identity import program_identity
from kd_jax.training.active_run import ActiveRun
from kd_jax.training.batch_feed import BatchFeed
from kd_jax.training.chunk_program import make_chunk_program, stack_states
from kd_jax.training.run_result import measure_runs
from kd_jax.training.stacked_runs import ALONE, BATCHINGS

TRIAL, TRIAL_EXAMPLES = 4, 1000  # steps, and examples of an evaluation, by which the ways are timed


TRIAL_SECONDS = 0.2  # that each part is timed, at least twice


TEMPORARY_BYTES = 2**32  # what a vmapped program may need beside its arguments, or it is not tried


SHORT = 1000  # steps of all runs: shorter packs are mapped without being timed


WORTH = 2.0  # times what compiling takes: shorter packs are not timed by both ways


_fastest: list[tuple[Any, str]] = []


def choose_vmap_or_map(active_runs: Sequence[ActiveRun], read: BatchFeed, grouping: Any) -> str:
    """The way over the runs of a pack, noted in their positions with the step from which it is taken.

    A pack that goes on goes on as it was. Where the runs are split over devices it is 'vmap' without being measured.
    """
    prepared, size, done = active_runs[0].prepared, len(active_runs), active_runs[0].step
    if size == 1:
        by = ALONE
    elif grouping in BATCHINGS:
        by = grouping
    elif earlier_choice(active_runs):
        by = earlier_choice(active_runs)
    elif prepared.mesh.shape['stack'] > 1:
        by = 'vmap'
    elif size * (prepared.total_steps - done) < SHORT:
        by = 'map'
    else:
        key = program_identity(prepared.config, prepared.where), size, read.shared
        by = faster_of_both(key, functools.partial(_trial, active_runs, read))
    for active in active_runs:
        last = (active.position['grouped'] or [{}])[-1]
        if (last.get('by', ALONE), last.get('runs', 1)) != (by, size):
            active.position['grouped'].append({'from_step': done, 'by': by, 'runs': size})
    return by


def earlier_choice(active_runs: Sequence[ActiveRun]) -> str:
    """The way by which these very runs were trained together before; '' if they were not."""
    last = [(active.position['grouped'] or [{}])[-1] for active in active_runs]
    batchings = {own.get('by', '') if own.get('runs') == len(active_runs) else '' for own in last}
    return batchings.pop() if len(batchings) == 1 else ''


class Trial(NamedTuple):
    """A way over the runs of a pack, compiled.

    Attributes:
      temporary_bytes: what a few steps need beside their arguments.
      parts: functions that do a part of the work, the first of them those steps, and how many times each is to be done.
    """

    temporary_bytes: int
    parts: Sequence[tuple[Callable[[], Any], float]]


def _trial(active_runs: Sequence[ActiveRun], read: BatchFeed, by: str) -> Trial:
    """A few steps, and the evaluation of a few examples, from where the runs are."""
    prepared_runs, states, frozen = zip(
        *[(active.prepared, active.state, active.frozen) for active in active_runs], strict=True
    )
    prepared, done, left = prepared_runs[0], active_runs[0].step, prepared_runs[0].total_steps - active_runs[0].step
    run_chunk: Any = make_chunk_program(prepared, by, len(prepared_runs), read.shared)
    arguments = read.arguments(*read.positions(done, TRIAL))
    compiled = run_chunk.lower(stack_states(prepared_runs, states), *arguments).compile()
    evaluations = -(-left // prepared.eval_steps)
    examples = {
        split: len(arrays['id']) * (1 if split == 'train' else evaluations)
        for split, arrays in prepared.splits.arrays.items()
    }
    split = max(examples, key=lambda split: examples[split])
    tried = [_with_few(own, split) for own in prepared_runs]
    return Trial(
        compiled.memory_analysis().temp_size_in_bytes,
        [
            (lambda: compiled(stack_states(prepared_runs, states), *arguments), left / TRIAL),
            (
                lambda: measure_runs(tried, states, frozen, (split,), by),
                sum(examples.values()) / min(TRIAL_EXAMPLES, len(prepared.splits.arrays[split]['id'])),
            ),
        ],
    )


def _with_few(prepared: PreparedRun, split: str) -> PreparedRun:
    """The job with the first examples of one split alone."""
    few = {name: array[:TRIAL_EXAMPLES] for name, array in prepared.splits.arrays[split].items()}
    return dataclasses.replace(prepared, splits=dataclasses.replace(prepared.splits, arrays={split: few}))


def faster_of_both(key: Any, trial: Callable[[str], Trial]) -> str:
    """The way that takes less time for all that is left to do on this machine; measured once a process for each `key`.

    'vmap' is not tried where it cannot pay for being compiled: if all the work by 'map' takes no longer than `WORTH`
    times what 'map' took to compile. Nor is it run if it needs more than `TEMPORARY_BYTES`.

    Args:
      key: what is packed.
      trial: compiles a way.
    """
    known = next((by for other, by in _fastest if other == key), None)
    if known:
        return known
    started = time.monotonic()
    mapped = trial('map')
    compiling = time.monotonic() - started
    best, seconds = 'map', _seconds(mapped)
    if seconds > WORTH * compiling:
        vmapped = trial('vmap')
        if vmapped.temporary_bytes <= TEMPORARY_BYTES and _seconds(vmapped) < seconds:
            best = 'vmap'
    _fastest.append((key, best))
    return best


def _seconds(trial: Trial) -> float:
    return sum(times * _least(run) for run, times in trial.parts)


def _least(run: Callable[[], Any]) -> float:
    """Seconds of the quickest of several calls, after one that is not counted."""
    jax.block_until_ready(run())
    times: list[float] = []
    while len(times) < 2 or sum(times) < TRIAL_SECONDS:
        started = time.monotonic()
        jax.block_until_ready(run())
        times.append(time.monotonic() - started)
    return min(times)
