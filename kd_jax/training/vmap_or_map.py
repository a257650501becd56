"""Chooses between `vmap` and `lax.map` for a group of runs by timing both."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.program_identity import program_identity
from kd_jax.training.active_run import ActiveRun, step_of_group
from kd_jax.training.batch_feed import BatchFeed
from kd_jax.training.chunk_program import make_chunk_program, stack_states
from kd_jax.training.recorded_choices import record_choice, record_path, recorded_choice
from kd_jax.training.run_result import measure_runs
from kd_jax.training.stacked_runs import ALONE, BATCHINGS

TRIAL, TRIAL_EXAMPLES = 4, 1000  # steps and evaluated examples of one timed call
TRIAL_SECONDS = 0.2  # minimum seconds for timing each part; at least two calls
TEMPORARY_BYTES = 2**32  # limit for temporary memory of the vmapped program; above it, map is used
SHORT = 1000  # total steps of all runs; a group with fewer uses map without timing
WORTH = 2.0  # vmap is timed only if the work takes more than this many times as long as compiling
_fastest: list[tuple[Any, str]] = []


def choose_vmap_or_map(active_runs: Sequence[ActiveRun], read: BatchFeed, grouping: Any) -> str:
    """Chooses 'vmap' or 'map' for a group of runs ('alone' for one run), and records the choice in their positions.

    A resumed group keeps its earlier choice. A group whose program was timed on this machine before takes the choice
    that was recorded then. If the runs are split over devices, the choice is 'vmap' without timing; if they train
    convolutions on CPUs, it is 'map', because `vmap` makes grouped convolutions of them, for which XLA is slow.

    Args:
      active_runs: the runs, all at the same step.
      read: their batch feed.
      grouping: 'vmap' or 'map', or another value to choose here.
    """
    prepared, size, done = active_runs[0].prepared, len(active_runs), step_of_group(active_runs)
    if size == 1:
        by = ALONE
    elif grouping in BATCHINGS:
        by = grouping
    elif earlier_choice(active_runs):
        by = earlier_choice(active_runs)
    elif prepared.mesh.shape['stack'] > 1:
        by = 'vmap'
    elif prepared.convolves_on_cpu or size * (prepared.total_steps - done) < SHORT:
        by = 'map'
    else:
        key = program_identity(prepared.config, prepared.where), size, sorted(read.shared.frozen), read.shared.batches
        record = record_path(key)
        by = recorded_choice(record) or record_choice(
            record, faster_of_both(key, functools.partial(_trial, active_runs, read))
        )
    for active in active_runs:
        last = (active.position['grouped'] or [{}])[-1]
        if (last.get('by', ALONE), last.get('runs', 1)) != (by, size):
            active.position['grouped'].append({'from_step': done, 'by': by, 'runs': size})
    return by


def earlier_choice(active_runs: Sequence[ActiveRun]) -> str:
    """The earlier choice for exactly these runs; '' if they were not trained together before."""
    last = [(active.position['grouped'] or [{}])[-1] for active in active_runs]
    batchings = {own.get('by', '') if own.get('runs') == len(active_runs) else '' for own in last}
    return batchings.pop() if len(batchings) == 1 else ''


class Trial(NamedTuple):
    """What is compiled to time 'vmap' or 'map'.

    Attributes:
      temporary_bytes: memory that the training steps need beside their arguments.
      parts: pairs (function, count): a function that does a few training steps or evaluates a few examples, and how
        many such calls the remaining work consists of.
    """

    temporary_bytes: int
    parts: Sequence[tuple[Callable[[], Any], float]]


def _trial(active_runs: Sequence[ActiveRun], read: BatchFeed, by: str) -> Trial:
    """Compiles a few training steps and the evaluation of a few examples, from the current states of the runs."""
    prepared_runs, states, frozen = zip(
        *[(active.prepared, active.state, active.frozen) for active in active_runs], strict=True
    )
    prepared, done = prepared_runs[0], step_of_group(active_runs)
    left = prepared.total_steps - done
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
    """The prepared run with only the first examples of one split."""
    few = {name: array[:TRIAL_EXAMPLES] for name, array in prepared.splits.arrays[split].items()}
    return dataclasses.replace(prepared, splits=dataclasses.replace(prepared.splits, arrays={split: few}))


def faster_of_both(key: Any, trial: Callable[[str], Trial]) -> str:
    """Chooses 'vmap' or 'map', whichever does the remaining work faster on this machine.

    A process times each `key` only once. 'vmap' is not compiled if the remaining work by 'map' takes at most `WORTH`
    times as long as compiling 'map' took, because compiling would then cost more than it saves. 'vmap' is not run if it
    needs more than `TEMPORARY_BYTES`.

    Args:
      key: identifies the group's program.
      trial: compiles 'vmap' or 'map' for timing.
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
    """Seconds of the fastest of several calls, after one call that is not counted."""
    jax.block_until_ready(run())
    times: list[float] = []
    while len(times) < 2 or sum(times) < TRIAL_SECONDS:
        started = time.monotonic()
        jax.block_until_ready(run())
        times.append(time.monotonic() - started)
    return min(times)
