"""The loop: data -> step -> evaluate -> checkpoint -> log, from wherever the run's directory says it stopped."""

import contextlib
import dataclasses
import functools
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from kd_jax import cache, distributed, feed, metrics, packs, program, provenance, results
from kd_jax import step as steps
from kd_jax.checkpoint import Checkpoints
from kd_jax.errors import Diverged
from kd_jax.job import Job
from kd_jax.step import State

TRIAL = 4  # steps by which the ways of packing are timed
Progress = Callable[[int, int, Mapping[str, float]], None]


class Preempted(Exception):
    """The run was asked to stop, by the signal `number`, and has saved its state."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


class Task(NamedTuple):
    """A run to train: its job, its directory, and by run name the directories of those that its networks start from."""

    job: Job
    directory: pathlib.Path
    sources: Mapping[str, pathlib.Path]


@dataclasses.dataclass
class Member:
    """A run in training. `position` is what its checkpoints hold beside the state; `error` says why it was left."""

    job: Job
    state: State
    frozen: dict[str, Any]
    checkpoints: Checkpoints
    writer: metrics.Writer
    position: dict[str, Any]
    error: Diverged | None = None
    since: float = 0.0
    share: int = 1

    @property
    def seconds(self) -> float:
        """Wall time in the loop; of a pack, each run has an equal share."""
        return (time.monotonic() - self.since) / self.share

    @property
    def losses(self) -> dict[str, float]:
        """Means since the last evaluation of what training measures."""
        return {name: summed / max(count, 1.0) for name, (summed, count) in self.position['sums'].items()}


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
    if isinstance(result, Diverged):
        raise result
    return result


def train_together(
    tasks: Sequence[Task], progress: Progress, pack: Any = 'auto', *, caches: pathlib.Path
) -> list[dict[str, Any] | Diverged]:
    """Trains runs to their ends, as one program where they can be; returns of each its result, or why it was left.

    A run that becomes non-finite is left, and the others go on.

    Args:
      tasks: the runs, none of which starts from another.
      progress: called with (steps done, steps in all, the latest losses), of a pack the means over its runs.
      pack: 'vmap', 'map', 'auto' for the faster of the two, or False for one run after another; see `packs`.
      caches: where runs share what they record of the same networks.
    Raises:
      UserError: a checkpoint is missing or foreign, the disk is full.
      Preempted: as `train`.
    """
    provenance.of_this_process()
    members: dict[int, Member] = {}
    with contextlib.ExitStack() as opened:
        with stop_signals() as stop:
            structures = [packs.structure(task.job.config, task.job.where) for task in tasks]
            for places in packs.grouped(structures, len(tasks)):
                begun = _begin([tasks[i] for i in places], opened)
                members |= zip(places, begun, strict=True)
                steps_done = [member.position['step'] for member in begun]
                for together in packs.partition([member.job for member in begun], steps_done, pack):
                    _loop([begun[i] for i in together], pack, caches, stop, progress)
        return [_outcome(members[i]) for i in range(len(tasks))]


def _begin(tasks: Sequence[Task], opened: contextlib.ExitStack) -> list[Member]:
    """Runs of one structure, each as its newest checkpoint has it; frozen networks of one checkpoint are one object."""
    members: list[Member] = []
    start = program.make_start(tasks[0].job)
    loaded: dict[Any, Any] = {}
    shared: dict[int, Any] = {}
    for task in tasks:
        job = dataclasses.replace(task.job, evaluator=tasks[0].job.evaluator)
        task.directory.mkdir(parents=True, exist_ok=True)
        own = program.load_networks(job, task.sources, loaded)
        state, frozen = start(job.seed, packs.numbers(job), own)
        for network in job.recipe.frozen:
            if not (network.fresh or network.part):
                frozen[network.name] = shared.setdefault(id(own[network.name]), frozen[network.name])
        checkpoints = Checkpoints(task.directory / 'checkpoints')
        opened.callback(checkpoints.close)
        position: dict[str, Any] = {'step': 0, 'seconds': 0.0, 'sums': {}}
        state, position = checkpoints.restore(state) or (state, position)
        writer = metrics.Writer(task.directory, int(state.step), distributed.is_primary())
        opened.callback(writer.close)
        members.append(Member(job, state, frozen, checkpoints, writer, {'packed': [], **position}))
    return members


def _outcome(member: Member) -> dict[str, Any] | Diverged:
    if member.error is not None:
        return member.error
    return results.of_run(member.job, member.state, member.frozen, member.position['packed'], member.writer.history)


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
    job, done, total = jobs[0], members[0].position['step'], jobs[0].total_steps
    per_epoch = job.order.steps_per_epoch
    progress(done, total, {})
    if done == total:
        return
    eval_steps = max(1, round(job.config.get('eval_every', 1) * per_epoch))
    for member in members:
        member.since, member.share = time.monotonic() - size * member.position['seconds'], size
    read = feed.feed(jobs, [member.frozen for member in members], _training_splits(members, caches, stop))
    by = _way(members, read, pack)
    run_chunk, unstack = program.make_run_chunk(job, by, size, read.shared), program.make_unstack(job, size)
    states = program.stack_states(jobs, [member.state for member in members])
    running, saved = list(members), time.monotonic()
    with read.chunks(done, eval_steps) as chunks:
        for end, xs, views in chunks:
            states, chunk = run_chunk(states, *read.arguments(xs, views))
            for member, own in zip(members, packs.parts(jax.device_get(chunk), size), strict=True):
                member.error = member.error or _add(member, own, done)
            done, running = end, [member for member in members if member.error is None]
            progress(done, total, _means([member.losses for member in running]))
            due = done % eval_steps == 0 and time.monotonic() - saved >= job.config.get('checkpoint_seconds', 60)
            asked = distributed.everywhere(due, stop[0] if stop else 0)
            number = int(asked[:, 1].max())
            evaluating, saving = done % eval_steps == 0 or done == total, asked[0, 0] or number or done == total
            if evaluating or saving:
                for member, state in zip(members, unstack(states), strict=True):
                    member.state = state
            for member in running if evaluating else ():
                _evaluate(member, done)
            for member in running if saving else ():
                member.position |= {'step': done, 'seconds': member.seconds}
                member.checkpoints.save(member.state, member.position)
                saved = time.monotonic()
            if number and running:
                others = f' and {len(running) - 1} packed with it' if len(running) > 1 else ''
                where = f'{running[0].job.where}{others}'
                raise Preempted(f'{where} stopped at step {done} of {total}; run the same command to go on.', number)
            if not running:
                return


def _evaluate(member: Member, done: int) -> None:
    row = {
        'step': done,
        'epoch': done / member.job.order.steps_per_epoch,
        'seconds': member.seconds,
        'terms': member.losses,
    }
    member.writer.write(row | results.measure(member.job, member.state, member.frozen, ('valid', 'test')))
    member.position['sums'] = {}


def _add(member: Member, chunk: steps.Metrics, first: int) -> Diverged | None:
    """Adds what a chunk of steps measured, unless some of it is not finite: then says so."""
    error = _not_finite(chunk, first, member)
    if error is None:
        sums = member.position['sums']
        member.position['sums'] = {name: _added(sums.get(name, (0.0, 0.0)), pair) for name, pair in chunk.items()}
    return error


def _added(before: Sequence[float], pair: tuple[Any, Any]) -> tuple[float, float]:
    return before[0] + float(np.sum(pair[0])), before[1] + float(np.sum(pair[1]))


def _means(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([own[name] for own in losses])) for name in losses[0]} if losses else {}


def _way(members: Sequence[Member], read: feed.Feed, pack: Any) -> str:
    """The way over the runs of a pack, noted in their positions with the step from which it is taken.

    A pack that goes on goes on as it was. Where processes would have to agree, or the runs are split over devices, it
    is 'vmap' without being measured.
    """
    job, size, done = members[0].job, len(members), members[0].position['step']
    before = [member.position['packed'][-1] if member.position['packed'] else {} for member in members]
    known = {own.get('by') for own in before if own.get('runs') == size}
    if size == 1:
        by = packs.ALONE
    elif pack in packs.WAYS:
        by = pack
    elif len(known) == 1 and all(own.get('runs') == size for own in before):
        by = known.pop()
    elif jax.process_count() > 1 or job.mesh.shape['stack'] > 1:
        by = 'vmap'
    else:
        states = [member.state for member in members]
        by = packs.fastest(
            (packs.structure(job.config, job.where), size), functools.partial(_trial, read, states, done)
        )
    for member, last in zip(members, before, strict=True):
        if (last.get('by', packs.ALONE), last.get('runs', 1)) != (by, size):
            member.position['packed'].append({'from_step': done, 'by': by, 'runs': size})
    return by


def _trial(read: feed.Feed, states: Sequence[State], done: int, by: str) -> tuple[Any, Callable[[], Any]]:
    """A compiled program of a few steps, and a function that runs it on copies of the states."""
    run_chunk: Any = program.make_run_chunk(read.jobs[0], by, len(read.jobs), read.shared)
    arguments = read.arguments(*read.positions(done, TRIAL))
    compiled = run_chunk.lower(program.stack_states(read.jobs, states), *arguments).compile()
    return compiled, lambda: compiled(program.stack_states(read.jobs, states), *arguments)


def _not_finite(chunk: steps.Metrics, first: int, member: Member) -> Diverged | None:
    """What stops a run, if a term, the loss or the gradient is not finite at one of the steps from `first` on."""
    bad = {name: np.flatnonzero(~np.isfinite(summed)) for name, (summed, _) in chunk.items()}
    bad = {name: where for name, where in bad.items() if len(where)}
    if not bad:
        return None
    terms = [name for name in bad if name not in ('loss', 'grad_norm')]
    name = min(terms or bad, key=lambda name: bad[name][0])
    step = first + int(bad[name][0]) + 1
    what = f"term '{name}'" if name in terms else f'the {name.replace("_", " ")}'
    kept = member.checkpoints.latest()
    last = f'The last good checkpoint, step {kept}, is kept.' if kept else 'No checkpoint was due before it.'
    return Diverged(
        f'{member.job.where}: {what} became non-finite at step {step} (epoch '
        f'{step / member.job.order.steps_per_epoch:.2f}); lower the learning rate, warm it up or set '
        f'optimizer.clip=1.0. {last}'
    )


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM or SIGINT arrives."""
    seen: list[int] = []
    before = {s: signal.signal(s, lambda number, _: seen.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
