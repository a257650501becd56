"""The training loop: steps, evaluation, checkpoints and log; a stopped run continues from its newest checkpoint."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.errors import UserError
from kd_jax.devices.processes import values_of_all_processes
from kd_jax.prepare.run_options import run_option
from kd_jax.teacher_cache.replay import replay_outputs
from kd_jax.training import provenance
from kd_jax.training.active_run import ActiveRun, RunToTrain, at_equal_steps, begin_runs, step_of_group
from kd_jax.training.batch_feed import make_feed
from kd_jax.training.chunk_program import make_chunk_program, make_unstack, stack_states
from kd_jax.training.run_result import measure_runs
from kd_jax.training.stacked_runs import first_equal, unstack_tree
from kd_jax.training.stop_signals import Preempted, stop_signals
from kd_jax.training.vmap_or_map import choose_vmap_or_map, earlier_choice

Progress = Callable[[int, int, Mapping[str, float]], None]


def train_group(
    runs_to_train: Sequence[RunToTrain], progress: Progress, grouping: Any = 'auto', *, caches: pathlib.Path
) -> list[dict[str, Any] | UserError]:
    """Trains a group of runs to their ends; returns for each run its result, or the error that stopped it.

    A run that cannot start, becomes non-finite or stops early (option `patience`) ends, and the others continue. Runs
    that resume from different steps are trained as separate chunk programs, one after another.

    Args:
      runs_to_train: the runs; they must fit into one program, see `run_groups.partition_runs`.
      progress: called with (steps done, total steps, latest losses); the losses are means over the runs.
      grouping: 'vmap', 'map', or 'auto' for the faster of the two; see `stacked_runs`.
      caches: where runs share the recorded outputs of the same networks.
    Raises:
      UserError: the disk is full, or a cache holds outputs of something else.
      Preempted: SIGTERM, SIGINT or SIGHUP arrived; the states are saved.
    """
    provenance.of_this_process()
    with contextlib.ExitStack() as opened:
        with stop_signals() as stop:
            begun = begin_runs(runs_to_train, opened)
            active_runs = [active for active in begun if isinstance(active, ActiveRun)]
            for together in at_equal_steps(active_runs):
                _loop(together, grouping, caches, stop, progress)
        return [active.outcome() if isinstance(active, ActiveRun) else active for active in begun]


def _training_splits(
    active_runs: Sequence[ActiveRun], caches: pathlib.Path, stop: Sequence[int]
) -> list[Mapping[str, Any]]:
    """The training arrays of each run, with the recorded outputs of frozen networks if the runs have a cache.

    Runs with the same examples, frozen networks and views share one object.
    """
    splits: list[Mapping[str, Any]] = [active.prepared.splits.arrays['train'] for active in active_runs]
    known: dict[Any, Mapping[str, Any]] = {}
    for number, (active, same) in enumerate(zip(active_runs, first_equal(splits), strict=True)):
        if (recorded := active.prepared.cache) is None:
            continue
        where = active.prepared.where

        def between(where: str = where) -> None:
            if number := values_of_all_processes(stop[0] if stop else 0).max():
                raise Preempted(
                    f'{where} stopped while recording its cache; run the same command to continue.', int(number)
                )

        networks = tuple(id(active.frozen[network.name]) for network in recorded.what.networks)
        if (key := (same, recorded.what.seed, networks)) not in known:
            views = fold_in_name(active.state.key, 'augment')
            known[key] = replay_outputs(recorded, active.frozen, views, caches, between)
        splits[number] = known[key]
    return splits


def _loop(
    active_runs: Sequence[ActiveRun], grouping: Any, caches: pathlib.Path, stop: Sequence[int], progress: Progress
) -> None:
    """Trains one run or a group of runs to the end; all runs that have not ended must be at the same step."""
    prepared_runs, size = [active.prepared for active in active_runs], len(active_runs)
    prepared, done, total = prepared_runs[0], step_of_group(active_runs), prepared_runs[0].total_steps
    progress(done, total, {})
    if done == total:
        for active, measured in _measured(active_runs, earlier_choice(active_runs), prepared.splits_at_end):
            active.measured = measured
        return
    running, saved = _not_ended(active_runs), time.monotonic()
    for active in running:
        active.start_clock(len(running))
    read = make_feed(
        prepared_runs, [active.frozen for active in active_runs], _training_splits(active_runs, caches, stop)
    )
    by = choose_vmap_or_map(active_runs, read, grouping)
    run_chunk, unstack = make_chunk_program(prepared, by, size, read.shared), make_unstack(prepared, size)
    states = stack_states(prepared_runs, [active.state for active in active_runs])
    with read.chunks(done, prepared.eval_steps) as chunks:
        for end, xs, views in chunks:
            states, measured = run_chunk(states, *read.arguments(xs, views))
            for active, own in zip(active_runs, unstack_tree(jax.device_get(measured), size), strict=True):
                if not active.ended:
                    active.add(own, done)
            done, running = end, _not_ended(active_runs)
            if not running:
                return
            progress(done, total, _means([active.losses for active in running]))
            due = done % prepared.eval_steps == 0 and time.monotonic() - saved >= run_option(
                prepared.config, 'checkpoint_seconds'
            )
            asked = values_of_all_processes(due, stop[0] if stop else 0)
            number = int(asked[:, 1].max())
            evaluating, saving = (
                done % prepared.eval_steps == 0 or done == total,
                asked[0, 0] or number or done == total,
            )
            if evaluating or saving:
                for active, state in zip(active_runs, unstack(states), strict=True):
                    active.state = active.state if active.ended else state
            if evaluating:
                running = _evaluate(active_runs, by, done, done == total)
                if not running:
                    return
            for active in running:
                active.save(done) if saving else active.keep_unsaved_best()
            saved = time.monotonic() if saving else saved
            if number:
                others = f' and {len(running) - 1} more of its group' if len(running) > 1 else ''
                where = f'{running[0].prepared.where}{others}'
                raise Preempted(f'{where} stopped at step {done} of {total}; run the same command to continue.', number)


def _evaluate(active_runs: Sequence[ActiveRun], by: str, done: int, at_end: bool) -> list[ActiveRun]:
    """Evaluates the runs that have not ended, and ends those whose patience has ended; returns the others."""
    before = _not_ended(active_runs)
    splits = active_runs[0].prepared.splits_at_end if at_end else ('valid', 'test')
    for active, measured in _measured(active_runs, by, splits):
        active.evaluate(done, measured)
        if not at_end:
            active.stop_early(done)
    running = _not_ended(active_runs)
    for active in running if len(running) < len(before) else ():
        active.position['seconds'] = active.seconds
        active.start_clock(len(running))
    return running


def _measured(
    active_runs: Sequence[ActiveRun], by: str, splits: tuple[str, ...]
) -> list[tuple[ActiveRun, Mapping[str, Any]]]:
    """Measures the runs of a group that have not ended; returns pairs of a run and its metrics.

    With 'vmap' all runs are measured together, so that the program stays the same when some have ended.
    """
    together = active_runs if by == 'vmap' else _not_ended(active_runs)
    prepared_runs, states, frozen = zip(*[(a.prepared, a.state, a.frozen) for a in together], strict=True)
    measured = measure_runs(prepared_runs, states, frozen, splits, by)
    return [(active, own) for active, own in zip(together, measured, strict=True) if not active.ended]


def _not_ended(active_runs: Sequence[ActiveRun]) -> list[ActiveRun]:
    return [active for active in active_runs if not active.ended]


def _means(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([own[name] for own in losses])) for name in losses[0]}
