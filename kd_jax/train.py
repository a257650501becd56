"""The loop: data -> step -> evaluate -> checkpoint -> log, from wherever the run's directory says it stopped."""

import contextlib
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kd_jax import cache, distributed, feed, packs, program, provenance, results, way
from kd_jax import step as steps
from kd_jax.errors import UserError
from kd_jax.job import Job
from kd_jax.member import Member, Task, begin

Progress = Callable[[int, int, Mapping[str, float]], None]


class Preempted(Exception):
    """The run was asked to stop, by the signal `number`, and has saved its state."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


def train(
    job: Job,
    directory: pathlib.Path,
    sources: Mapping[str, pathlib.Path],
    progress: Progress,
    caches: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Trains a run to its end and returns its result; goes on from the newest checkpoint in `directory`.

    Args:
      job: from `job.prepare`.
      directory: of this run: checkpoints, metrics.jsonl, TensorBoard files.
      sources: run name -> directory, of the runs that networks start from.
      progress: called with (steps done, steps in all, the latest losses).
      caches: where runs share what they record of the same networks; `directory` unless said otherwise.
    Raises:
      UserError: a term became non-finite, a checkpoint is missing or foreign, the disk is full.
      Preempted: SIGTERM or SIGINT arrived; the state is saved.
    """
    (result,) = train_together([Task(job, directory, sources)], progress, caches=caches or directory / 'caches')
    if isinstance(result, UserError):
        raise result
    return result


def train_together(
    tasks: Sequence[Task], progress: Progress, pack: Any = 'auto', *, caches: pathlib.Path
) -> list[dict[str, Any] | UserError]:
    """Trains runs as one program to their ends; returns of each its result, or why it was left.

    A run that cannot begin or becomes non-finite is left, and the others go on. Those that are at another step than the
    rest are another program until their end.

    Args:
      tasks: the runs, of one part of `packs.partition`.
      progress: called with (steps done, steps in all, the latest losses), of a pack the means over its runs.
      pack: 'vmap', 'map', or 'auto' for the faster of the two; see `packs`.
      caches: where runs share what they record of the same networks.
    Raises:
      UserError: the disk is full, or a cache is foreign.
      Preempted: as `train`.
    """
    provenance.of_this_process()
    with contextlib.ExitStack() as opened:
        with stop_signals() as stop:
            begun = begin(tasks, opened)
            members = [member for member in begun if isinstance(member, Member)]
            for places in packs.grouped([member.step for member in members]):
                _loop([members[i] for i in places], pack, caches, stop, progress)
        return [member.outcome() if isinstance(member, Member) else member for member in begun]


def _training_splits(members: Sequence[Member], caches: pathlib.Path, stop: Sequence[int]) -> list[Mapping[str, Any]]:
    """The arrays that each run trains on: with recorded outputs of frozen networks, if the runs have a cache.

    What runs have in common, the same examples and networks in the same views, is one object.
    """
    splits: list[Mapping[str, Any]] = [member.job.splits.arrays['train'] for member in members]
    known: dict[Any, Mapping[str, Any]] = {}
    for number, (member, same) in enumerate(zip(members, packs.alike(splits), strict=True)):
        if (recorded := member.job.cache) is None:
            continue
        where = member.job.where

        def between(where: str = where) -> None:
            if number := distributed.everywhere(stop[0] if stop else 0).max():
                raise Preempted(
                    f'{where} stopped while recording its cache; run the same command to go on.', int(number)
                )

        networks = tuple(id(member.frozen[network.name]) for network in recorded.what.networks)
        if (key := (same, recorded.what.seed, networks)) not in known:
            views = steps.fold_in_name(member.state.key, 'augment')
            known[key] = cache.replay(recorded, member.frozen, views, caches, between)
        splits[number] = known[key]
    return splits


def _loop(members: Sequence[Member], pack: Any, caches: pathlib.Path, stop: Sequence[int], progress: Progress) -> None:
    """Trains a run, or a pack of runs, from the step where all of them are to the end."""
    jobs, size = [member.job for member in members], len(members)
    job, done, total = jobs[0], members[0].step, jobs[0].total_steps
    progress(done, total, {})
    if done == total:
        for member, measured in zip(members, _measured(members, way.of_before(members), results.SPLITS), strict=True):
            member.measured = measured
        return
    for member in members:
        member.start_clock(size)
    read = feed.feed(jobs, [member.frozen for member in members], _training_splits(members, caches, stop))
    by = way.choose(members, read, pack)
    run_chunk, unstack = program.make_run_chunk(job, by, size, read.shared), program.make_unstack(job, size)
    states = program.stack_states(jobs, [member.state for member in members])
    running, saved = list(members), time.monotonic()
    with read.chunks(done, job.eval_steps) as chunks:
        for end, xs, views in chunks:
            states, measured = run_chunk(states, *read.arguments(xs, views))
            for member, own in zip(members, packs.parts(jax.device_get(measured), size), strict=True):
                if member.error is None:
                    member.add(own, done)
            done, running = end, [member for member in running if member.error is None]
            if not running:
                return
            progress(done, total, _means([member.losses for member in running]))
            due = done % job.eval_steps == 0 and time.monotonic() - saved >= job.config.get('checkpoint_seconds', 60)
            asked = distributed.everywhere(due, stop[0] if stop else 0)
            number = int(asked[:, 1].max())
            evaluating, saving = done % job.eval_steps == 0 or done == total, asked[0, 0] or number or done == total
            if evaluating or saving:
                for member, state in zip(members, unstack(states), strict=True):
                    member.state = state
            if evaluating:
                splits = results.SPLITS if done == total else ('valid', 'test')
                for member, measured in zip(members, _measured(members, by, splits), strict=True):
                    if member.error is None:
                        member.evaluate(done, measured)
            for member in running if saving else ():
                member.save(done)
                saved = time.monotonic()
            if number:
                others = f' and {len(running) - 1} packed with it' if len(running) > 1 else ''
                where = f'{running[0].job.where}{others}'
                raise Preempted(f'{where} stopped at step {done} of {total}; run the same command to go on.', number)


def _measured(members: Sequence[Member], by: str, splits: tuple[str, ...]) -> Sequence[Mapping[str, Any]]:
    jobs, states, frozen = zip(*[(member.job, member.state, member.frozen) for member in members], strict=True)
    return results.measure_runs(jobs, states, frozen, splits, by)


def _means(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([own[name] for own in losses])) for name in losses[0]}


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM or SIGINT arrives.

    Raises:
      Preempted: at the end, if a signal arrived that nobody has acted on.
    """
    seen: list[int] = []
    before = {s: signal.signal(s, lambda number, _: seen.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if seen:
        raise Preempted('stopped after the last step that was due; run the same command to go on.', seen[0])
