"""A run in training, alone or in a pack: where it begins, what it has measured, its files, and what stops it."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kd_jax import distributed, metrics, packs, program, results
from kd_jax import step as steps
from kd_jax.checkpoint import Checkpoints
from kd_jax.errors import Diverged, UserError
from kd_jax.job import Job
from kd_jax.step import State


class Task(NamedTuple):
    """A run to train: its job, its directory, and by run name the directories of those that its networks start from."""

    job: Job
    directory: pathlib.Path
    sources: Mapping[str, pathlib.Path]


@dataclasses.dataclass
class Member:
    """A run in training.

    Attributes:
      task: what is trained, and where.
      state: where it is, when it was last looked at.
      position: what its checkpoints hold beside the state.
      frozen: variables of its frozen networks.
      checkpoints: its own.
      writer: of its history, once it is open.
      measured: by split, what was measured of its state last.
      error: why it was left.
      since: when it would have begun if it had trained without a break.
      share: how many runs the time is divided by.
    """

    task: Task
    state: State
    position: dict[str, Any]
    frozen: dict[str, Any]
    checkpoints: Checkpoints
    writer: metrics.Writer = dataclasses.field(init=False)
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    error: UserError | None = None
    since: float = 0.0
    share: int = 1

    @property
    def job(self) -> Job:
        return self.task.job

    @property
    def step(self) -> int:
        """Where its position is."""
        return self.position['step']

    @property
    def seconds(self) -> float:
        """Wall time in the loop; of a pack, each run has an equal share."""
        return (time.monotonic() - self.since) / self.share

    @property
    def losses(self) -> dict[str, float]:
        """Means since the last evaluation of what training measures."""
        return {name: summed / max(count, 1.0) for name, (summed, count) in self.position['sums'].items()}

    def start_clock(self, share: int) -> None:
        self.since, self.share = time.monotonic() - share * self.position['seconds'], share

    def add(self, chunk: steps.Metrics, first: int) -> None:
        """Adds what a chunk of steps from `first` on measured; if some of it is not finite, the run is left."""
        self.error = _not_finite(chunk, first, self)
        if self.error is None:
            sums = self.position['sums']
            self.position['sums'] = {name: _added(sums.get(name, (0.0, 0.0)), pair) for name, pair in chunk.items()}

    def evaluate(self, done: int, measured: Mapping[str, Any]) -> None:
        """Writes a row of the history."""
        epoch, seconds = done / self.job.order.steps_per_epoch, self.seconds
        row = {'step': done, 'epoch': epoch, 'seconds': seconds, 'terms': self.losses}
        self.writer.write(row | {split: measured[split] for split in ('valid', 'test') if split in measured})
        self.position['sums'], self.measured = {}, measured

    def save(self, done: int) -> None:
        self.position |= {'step': done, 'seconds': self.seconds}
        self.checkpoints.save(self.state, self.position)

    def outcome(self) -> dict[str, Any] | UserError:
        """The result of a run that is at its end, or why it was left."""
        if self.error is not None:
            return self.error
        packed, history = self.position['packed'], self.writer.history
        try:
            return results.of_run(self.job, self.state, self.frozen, self.measured, packed, history)
        except UserError as error:
            return error


def begin(tasks: Sequence[Task], opened: contextlib.ExitStack) -> list[Member | UserError]:
    """Runs of one structure, each as its newest checkpoint has it, or what keeps it from beginning.

    They share what is compiled to evaluate them, and frozen networks of one checkpoint are one object. `opened` closes
    their files.
    """
    start = program.make_start(tasks[0].job)
    loaded: dict[Any, Any] = {}
    shared: dict[int, Any] = {}

    def fresh(task: Task) -> tuple[State, dict[str, Any]]:
        own = program.load_networks(task.job, task.sources, loaded)
        state, frozen = start(task.job.seed, packs.numbers(task.job), own)
        for network in task.job.recipe.frozen:
            if network.name in own and not (network.fresh or network.part):
                frozen[network.name] = shared.setdefault(id(own[network.name]), frozen[network.name])
        return state, frozen

    begun: list[Member | UserError] = []
    for task in tasks:
        task.directory.mkdir(parents=True, exist_ok=True)
        job = dataclasses.replace(task.job, evaluator=tasks[0].job.evaluator)
        try:
            state, frozen = fresh(task)
            checkpoints = Checkpoints(task.directory / 'checkpoints')
            opened.callback(checkpoints.close)
            begun.append(Member(task._replace(job=job), *_restored(checkpoints, state), frozen, checkpoints))
        except UserError as error:
            begun.append(error)
    members = [member for member in begun if isinstance(member, Member)]
    _level(members, lambda task: fresh(task)[0])
    for member in members:
        member.writer = metrics.Writer(member.task.directory, member.step, distributed.is_primary())
        opened.callback(member.writer.close)
    return begun


def _restored(checkpoints: Checkpoints, state: State) -> tuple[State, dict[str, Any]]:
    state, position = checkpoints.restore(state) or (state, {})
    return state, {'step': 0, 'seconds': 0.0, 'sums': {}, 'packed': [], **position}


def _level(members: Sequence[Member], fresh: Callable[[Task], State]) -> None:
    """Takes a pack that was killed between the checkpoints of its runs back to the step that all of them have.

    So it goes on as the program that it was.
    """
    least = min((member.step for member in members), default=0)
    ahead = [member for member in members if member.step > least]
    for member in ahead:
        was_of_this_pack = member.position['packed'] and member.position['packed'][-1]['runs'] == len(members)
        if not was_of_this_pack or [0, *member.checkpoints.steps()][-2] != least:
            return
    for member in ahead:
        member.checkpoints.drop_after(least)
        member.state, member.position = _restored(member.checkpoints, fresh(member.task))


def _added(before: Sequence[float], pair: tuple[Any, Any]) -> tuple[float, float]:
    return before[0] + float(np.sum(pair[0])), before[1] + float(np.sum(pair[1]))


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
