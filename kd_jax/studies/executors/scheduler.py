"""What all executors share: which groups are ready, what a worker does, and what follows from how a worker ended."""

import collections
import dataclasses
import logging
import pathlib
import pickle
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from kd_jax.config.errors import MachineError, UserError
from kd_jax.config.visible_text import show_log
from kd_jax.studies.execute import execute_group
from kd_jax.studies.run_groups import needed_ids
from kd_jax.studies.study import Progress, Run, Study
from kd_jax.studies.workdir import Workdir
from kd_jax.training.quiet_orbax import quiet_orbax
from kd_jax.training.stop_signals import Preempted, stop_signals

RETRIES = 3
POLL_SECONDS = 0.2
REPORT_SECONDS = 0.5  # minimum time between two progress reports of one worker
SETTINGS = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs', 'jax_platforms')
Group = tuple[Run, ...]
Finished = Callable[[Run, dict[str, Any]], None]
Executor = Callable[[Study, Sequence[Group], Workdir, Progress, Finished], None]
log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How a worker ended.

    Attributes:
      kind: 'finished', 'failed' (a user's mistake), 'no machine' (a full disk, for example), 'stopped' (it saved
        first), 'died', or 'crashed' (a bug of kd_jax).
      value: for 'finished', the result or the error of each run; for 'failed' and 'no machine', the message; for
        'stopped' and 'died', how it ended; for 'crashed', a traceback.
    """

    kind: str
    value: Any


class Assignment(NamedTuple):
    """All that a worker needs: plain values, and a work directory that the worker can see."""

    study: Study
    group: Group
    workdir: pathlib.Path
    settings: Mapping[str, Any]


class Agenda:
    """The groups of a study that still wait, and the runs that have failed."""

    def __init__(self, groups: Sequence[Group], finished: Finished):
        self.waiting = list(groups)
        self.unfinished = {run.id for group in groups for run in group}
        self.lost: set[str] = set()
        self.mistakes: list[str] = []
        self.finished = finished

    def ready(self) -> list[Group]:
        """The waiting groups that can start now. A group that needs a failed run never can."""
        return [group for group in self.waiting if not needed_ids(group) & self.unfinished]

    def end(self, group: Group, outcomes: Sequence[dict[str, Any] | UserError]) -> None:
        """Records the result or the error of each run."""
        for run, outcome in zip(group, outcomes, strict=True):
            if not isinstance(outcome, UserError):
                self.unfinished.discard(run.id)
                self.finished(run, outcome)
        for run, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, UserError):
                self.fail((run,), str(outcome))

    def fail(self, group: Group, mistake: str) -> None:
        """Records an error, and splits each waiting group into runs that need a failed run and runs that do not."""
        self.mistakes.append(mistake)
        self.lost |= {run.id for run in group}
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            lost = tuple(run for run in each if needed_ids((run,)) & self.lost)
            self.lost |= {run.id for run in lost}
            self.waiting += [part for part in (tuple(run for run in each if run not in lost), lost) if part]
        if self.ready():
            log.warning('%s failed; the runs that do not need it continue.', run_ids(group))

    def close(self) -> None:
        """Raises the recorded errors, if there are any.

        Raises:
          UserError: one sentence for each error, and the runs that were not started because of them.
        """
        if self.mistakes:
            left = [run.id for group in self.waiting for run in group]
            more = [f'Not started, because they need a failed run: {", ".join(left)}.'] if left else []
            raise UserError('\n'.join([*dict.fromkeys(self.mistakes), *more]))


def run_workers(
    groups: Sequence[Group],
    start: Callable[[Group], bool],
    poll: Callable[[bool], Sequence[tuple[Group, Outcome]]],
    finished: Finished,
) -> None:
    """Lets workers train every group.

    Args:
      groups: the groups to train; each follows the groups that it needs.
      start: starts a worker for a group; returns False if no worker is free now.
      poll: waits a moment and returns the groups whose workers have ended; its argument says whether workers must save
        and stop.
      finished: called with each finished run and its result.
    Raises:
      MachineError: the machine of a worker is at fault; raised at once.
      UserError: errors in runs, and groups whose workers died too often; raised when the other groups are done.
      Preempted: this process was asked to stop; every worker has saved.
      RuntimeError: a bug of kd_jax in a worker; the message has the traceback.
    """
    agenda, running = Agenda(groups, finished), 0
    deaths: collections.Counter[str] = collections.Counter()
    with stop_signals() as stop:
        while running or (agenda.ready() and not stop):
            for group in () if stop else agenda.ready():
                if start(group):
                    agenda.waiting.remove(group)
                    running += 1
            for group, (kind, value) in poll(bool(stop)):
                running -= 1
                name = run_ids(group)
                deaths[name] += kind in ('died', 'stopped')
                if kind == 'finished':
                    agenda.end(group, value)
                elif kind == 'no machine':
                    raise MachineError(value)
                elif kind == 'crashed':
                    raise RuntimeError(f'{name}: its worker met a bug of kd_jax:\n{value}')
                elif kind == 'failed':
                    agenda.fail(group, value)
                elif stop or deaths[name] <= RETRIES:
                    agenda.waiting.append(group)
                    if not stop:
                        log.warning('%s: its worker %s; a new worker continues from the last checkpoint.', name, value)
                else:
                    agenda.fail(
                        group,
                        f'{name}: {RETRIES + 1} workers died, the last one {value}; give each more memory, or run the '
                        'same command to continue from the last checkpoint.',
                    )
        if stop and agenda.ready():
            raise Preempted('every worker has saved and stopped; run the same command to continue.', stop[0])
    agenda.close()


def make_assignments(study: Study, groups: Sequence[Group], workdir: Workdir) -> list[Assignment]:
    """One assignment for each group.

    Raises:
      UserError: a config holds an object that cannot be sent to another process.
    """
    settings = {name: getattr(jax.config, name) for name in SETTINGS}
    made = []
    for group in groups:
        assignment = Assignment(dataclasses.replace(study, runs=tuple(group)), group, workdir.path.absolute(), settings)
        try:
            pickle.dumps(assignment)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"{study.where}: run '{group[0].name}' holds an object that cannot be sent to another process "
                f"({error}); write a function as 'module:name', or use --executor=in_process."
            ) from None
        made.append(assignment)
    return made


def train_in_worker(assignment: Assignment, report: Progress) -> Outcome:
    """Trains a group in this process, which is a worker."""
    show_log()
    quiet_orbax()
    for name, value in assignment.settings.items():
        jax.config.update(name, value)
    try:
        results = execute_group(assignment.study, assignment.group, Workdir(assignment.workdir), _now_and_then(report))
        return Outcome('finished', results)
    except MachineError as error:
        return Outcome('no machine', str(error))
    except UserError as error:
        return Outcome('failed', str(error))
    except Preempted as stop:
        return Outcome('stopped', f'was stopped by signal {stop.number}')
    except Exception:
        return Outcome('crashed', traceback.format_exc())


def _now_and_then(report: Progress) -> Progress:
    last = -REPORT_SECONDS

    def progress(runs: Sequence[Run], done: int, total: int, losses: Mapping[str, float]) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= REPORT_SECONDS:
            last = time.monotonic()
            report(runs, done, total, losses)

    return progress


def run_ids(group: Group) -> str:
    return ', '.join(run.id for run in group)


def resources_of(group: Group) -> dict[str, float]:
    """The resources that a group asks for: for each of 'cpu', 'gpu' and 'tpu', the maximum over its runs."""
    asked = [run.config.get('resources', {}) for run in group]
    return {
        kind: max(each.get(kind, default) for each in asked) for kind, default in (('cpu', 1), ('gpu', 0), ('tpu', 0))
    }
