"""The live state of a run while it trains: checkpoints, log, running losses and failure."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import Diverged, MachineError, UserError
from kd_jax.config.references import BEST, DIRECTORIES, LAST
from kd_jax.core.state import Metrics, State
from kd_jax.devices.processes import is_primary
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.training.best_evaluation import best_row, patience_ended
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.chunk_program import compile_initial_state
from kd_jax.training.initial_weights import load_initial_weights
from kd_jax.training.non_finite import TOTALS, cause_and_remedy, first_not_finite
from kd_jax.training.run_log import RunLog, read_history
from kd_jax.training.run_result import make_result, measure_run
from kd_jax.training.scheduled_numbers import numbers_of_step
from kd_jax.training.stacked_runs import float32_hparams, group_equal


class RunToTrain(NamedTuple):
    """A prepared run and where it trains.

    Attributes:
      prepared: the prepared run.
      directory: where the run writes its checkpoints and its log.
      sources: run name -> directory, for the runs that its networks start from.
    """

    prepared: PreparedRun
    directory: pathlib.Path
    sources: Mapping[str, pathlib.Path]


@dataclasses.dataclass
class ActiveRun:
    """A run in training.

    Attributes:
      run_to_train: the prepared run and where it trains.
      state: the training state at the latest evaluation or checkpoint.
      position: what a checkpoint stores beside the state: the step, the seconds, the sums of the losses, how the run
        was grouped, where and why it stopped early, and the history.
      frozen: variables of the frozen networks.
      checkpoints: the run's checkpoints; training continues from the newest.
      best: the checkpoints of the best evaluations on validation, of variables alone; None without validation.
      writer: the run's log; it is opened after the checkpoint is restored.
      measured: split -> metrics of the latest evaluation.
      unsaved_best: the step and the variables of the best evaluation, until they are saved.
      error: the error that stopped the run, or None.
      since: the clock time at which the run would have started if it had trained without a break.
      share: the number of runs that share the wall time.
    """

    run_to_train: RunToTrain
    state: State
    position: dict[str, Any]
    frozen: dict[str, Any]
    checkpoints: Checkpoints
    best: Checkpoints | None = None
    writer: RunLog = dataclasses.field(init=False)
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    unsaved_best: tuple[int, Mapping[str, Any]] | None = None
    error: UserError | None = None
    since: float = 0.0
    share: int = 1

    @property
    def prepared(self) -> PreparedRun:
        return self.run_to_train.prepared

    @property
    def step(self) -> int:
        """The step of the latest checkpoint; 0 if there is none."""
        return self.position['step']

    @property
    def ended(self) -> bool:
        """Whether the run failed or stopped early; the others of its group continue."""
        return self.error is not None or self.position['stopped'] is not None

    @property
    def seconds(self) -> float:
        """Wall time in the training loop, in seconds; each run of a group counts an equal share."""
        return (time.monotonic() - self.since) / self.share

    @property
    def losses(self) -> dict[str, float]:
        """Means of the training metrics (terms, loss, gradient norm) since the last evaluation."""
        return {name: summed / max(count, 1.0) for name, (summed, count) in self.position['sums'].items()}

    def start_clock(self, share: int) -> None:
        """Starts the clock at the seconds of `position`; `share` runs share the wall time."""
        self.since, self.share = time.monotonic() - share * self.position['seconds'], share

    def add(self, chunk: Metrics, first: int) -> None:
        """Adds the metrics of a chunk that starts at step `first`; sets `error` if one of them is not finite."""
        self.error = _not_finite(chunk, first, self)
        if self.error is None:
            sums = self.position['sums']
            self.position['sums'] = {name: _added(sums.get(name, (0.0, 0.0)), pair) for name, pair in chunk.items()}

    def evaluate(self, done: int, measured: Mapping[str, Any]) -> None:
        """Writes a row of the history and resets the running losses; `state` must be that of step `done`."""
        epoch, seconds = done / self.prepared.order.steps_per_epoch, self.seconds
        row = {'step': done, 'epoch': epoch, 'seconds': seconds, 'terms': self.losses}
        row['numbers'] = numbers_of_step(self.prepared, done)
        self.writer.write(row | {split: measured[split] for split in ('valid', 'test') if split in measured})
        self.position['sums'], self.measured = {}, measured
        best = best_row(self.prepared, self.writer.history)
        if best is not None and best['step'] == done:
            self.unsaved_best = done, {'params': self.state.params, 'collections': self.state.collections}

    def stop_early(self, done: int) -> None:
        """Ends the run, and saves it, if its patience has ended with the evaluation at step `done`."""
        if reason := patience_ended(self.prepared, self.writer.history):
            self.position['stopped'] = {key: self.writer.history[-1][key] for key in ('step', 'epoch')}
            self.position['stopped']['reason'] = reason
            self.save(done)

    def save(self, done: int) -> None:
        """Saves the best variables if they are new, and then the state.

        A run that was killed between the two continues from an earlier state, drops the best and reaches it again.
        """
        if self.best is not None and self.unsaved_best is not None:
            self.best.save_variables(*self.unsaved_best)
        self.unsaved_best = None
        self.position |= {'step': done, 'seconds': self.seconds, 'history': self.writer.history}
        self.checkpoints.save(self.state, self.position)

    def keep_unsaved_best(self) -> None:
        """Copies the best variables, because the next chunk program overwrites those of the state."""
        if self.unsaved_best is not None:
            step, variables = self.unsaved_best
            self.unsaved_best = step, jax.tree.map(jnp.copy, variables)

    def outcome(self) -> dict[str, Any] | UserError:
        """The result of a finished run, or the error that stopped it."""
        if self.error is not None:
            return self.error
        history = self.writer.history
        try:
            if self.position['stopped']:
                left = tuple(split for split in self.prepared.splits_at_end if split not in history[-1])
                self.measured = measure_run(self.prepared, self.state, self.frozen, left) | {
                    split: history[-1][split] for split in ('valid', 'test') if split in history[-1]
                }
            return make_result(self.prepared, self.state, self.frozen, self.measured, self.position, history)
        except UserError as error:
            return error


def begin_runs(runs_to_train: Sequence[RunToTrain], opened: contextlib.ExitStack) -> list[ActiveRun | UserError]:
    """Restores each run from its newest checkpoint, or initializes it; returns an error for a run that cannot start.

    The runs must have the same structure. They share the compiled evaluation. Frozen networks that are loaded from the
    same checkpoint are one object.

    Args:
      runs_to_train: the runs.
      opened: closes the runs' checkpoints and logs.
    """
    start = compile_initial_state(runs_to_train[0].prepared)
    loaded: dict[Any, Any] = {}
    shared: dict[int, Any] = {}

    def fresh(run_to_train: RunToTrain) -> tuple[State, dict[str, Any]]:
        own = load_initial_weights(run_to_train.prepared, run_to_train.sources, loaded)
        state, frozen = start(run_to_train.prepared.seed, float32_hparams(run_to_train.prepared), own)
        for network in run_to_train.prepared.recipe.frozen:
            if network.name in own and not (network.fresh or network.part):
                frozen[network.name] = shared.setdefault(id(own[network.name]), frozen[network.name])
        return state, frozen

    begun: list[ActiveRun | UserError] = []
    for run_to_train in runs_to_train:
        run_to_train.directory.mkdir(parents=True, exist_ok=True)
        prepared = dataclasses.replace(run_to_train.prepared, evaluator=runs_to_train[0].prepared.evaluator)
        try:
            state, frozen = fresh(run_to_train)
            checkpoints = Checkpoints(run_to_train.directory / DIRECTORIES[LAST])
            opened.callback(checkpoints.close)
            state, position = _restored(checkpoints, state, run_to_train.directory)
            active = ActiveRun(run_to_train._replace(prepared=prepared), state, position, frozen, checkpoints)
            if prepared.validates:
                active.best = Checkpoints(run_to_train.directory / DIRECTORIES[BEST])
                opened.callback(active.best.close)
                _check_best(active)
            begun.append(active)
        except MachineError:
            raise
        except UserError as error:
            begun.append(error)
    active_runs = [active for active in begun if isinstance(active, ActiveRun)]
    _level(active_runs, lambda run_to_train: fresh(run_to_train)[0])
    for active in active_runs:
        if active.best is not None:
            active.best.drop_after(active.step)
        active.writer = RunLog(active.run_to_train.directory, active.step, active.position['history'], is_primary())
        opened.callback(active.writer.close)
    return begun


def _restored(checkpoints: Checkpoints, state: State, directory: pathlib.Path) -> tuple[State, dict[str, Any]]:
    state, position = checkpoints.restore(state) or (state, {})
    if position and 'history' not in position:  # of an earlier version
        rows = read_history(directory / 'metrics.jsonl')
        position = {**position, 'history': [row for row in rows if row['step'] <= position['step']]}
    return state, first_position() | position


def _check_best(active: ActiveRun) -> None:
    """Raises a UserError if the best checkpoint so far, as the history names it, cannot be read.

    Without it, the run would end with a worse one in its place.
    """
    row = best_row(active.prepared, active.position['history'])
    if active.best is not None and row is not None and not active.best.is_intact(row['step']):
        directory = active.run_to_train.directory
        path = directory / DIRECTORIES[BEST] / str(row['step'])
        raise UserError(
            f'{active.prepared.where}: the best checkpoint {path} is missing or damaged; put a copy back, or '
            f'delete {directory} and run the same command again to train it anew.'
        )


def first_position() -> dict[str, Any]:
    """The position of a run before its first step."""
    return {'step': 0, 'seconds': 0.0, 'sums': {}, 'grouped': [], 'stopped': None, 'history': []}


def _level(active_runs: Sequence[ActiveRun], fresh: Callable[[RunToTrain], State]) -> None:
    """Takes a group back to the latest step that all its runs have saved, if it was killed while it was saving.

    The group then continues as the same chunk program. Runs that stopped early stay where they are.
    """
    least = min((active.step for active in active_runs if not active.ended), default=0)
    ahead = [active for active in active_runs if active.step > least and not active.ended]
    for active in ahead:
        was_of_this_group = active.position['grouped'] and active.position['grouped'][-1]['runs'] == len(active_runs)
        if not was_of_this_group or [0, *active.checkpoints.steps()][-2] != least:
            return
    for active in ahead:
        active.checkpoints.drop_after(least)
        directory = active.run_to_train.directory
        active.state, active.position = _restored(active.checkpoints, fresh(active.run_to_train), directory)


def _added(before: Sequence[float], pair: tuple[Any, Any]) -> tuple[float, float]:
    return before[0] + float(np.sum(pair[0])), before[1] + float(np.sum(pair[1]))


def _not_finite(chunk: Metrics, first: int, active: ActiveRun) -> Diverged | None:
    """The error for a chunk that starts at step `first`, if a term, the loss or the gradient norm is not finite."""
    found = first_not_finite(chunk, first)
    if found is None:
        return None
    name, prepared = found.name, active.prepared
    what = f'the {name.replace("_", " ")}' if name in TOTALS else f"term '{name}'"
    kept = active.checkpoints.latest()
    last = f'The last good checkpoint, step {kept}, is kept.' if kept else 'There is no earlier checkpoint.'
    return Diverged(
        f'{prepared.where}: {what} became non-finite at step {found.step} (epoch '
        f'{found.step / prepared.order.steps_per_epoch:.2f}){cause_and_remedy(prepared, found)}. {last}'
    )


def at_equal_steps(active_runs: Sequence[ActiveRun]) -> list[list[ActiveRun]]:
    """Groups the runs that have not ended by their step.

    Each group also gets the runs that stopped early as a part of its chunk program, so that this stays the same program
    when it is resumed. What it computes for these runs is not used.
    """
    going = [active for active in active_runs if not active.ended]
    together = []
    for places in group_equal([active.step for active in going]):
        equal = {id(going[i]) for i in places}
        program = going[places[0]].position['grouped'][-1:]
        stopped = {id(a) for a in active_runs if program and a.ended and a.position['grouped'][-1:] == program}
        together.append([active for active in active_runs if id(active) in equal | stopped])
    return together


def step_of_group(active_runs: Sequence[ActiveRun]) -> int:
    """The step from which the runs of a group that have not ended train on."""
    return next(active.step for active in active_runs if not active.ended)
