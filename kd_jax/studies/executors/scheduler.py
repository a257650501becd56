"""What executors share: which groups are ready, how the end of a worker is judged, and what a worker does."""

import collections
import logging
import pathlib
import pickle
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from kd_jax.config.errors import UserError
from kd_jax.studies.execute import execute_group
from kd_jax.studies.run_groups import needed_ids
from kd_jax.studies.study import Progress, Run, Study
from kd_jax.studies.workdir import Workdir
from kd_jax.training.stop_signals import Preempted, stop_signals

RETRIES = 3


POLL_SECONDS = 0.2


REPORT_SECONDS = 0.5  # between two progress reports of one worker


SETTINGS = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs', 'jax_platforms')


Group = tuple[Run, ...]


Finished = Callable[[Run, dict[str, Any]], None]


Executor = Callable[[Study, Sequence[Group], Workdir, Progress, Finished], None]


log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How a worker ended.

    `kind` is 'finished' (value: of each run its result or what was wrong with it), 'failed' (the user's mistake),
    'stopped' (it has saved), 'died' (how) or 'crashed' (a traceback).
    """

    kind: str
    value: Any


class Assignment(NamedTuple):
    """All that a worker needs: plain values, and a work directory that it sees too."""

    study: Study
    group: Group
    workdir: pathlib.Path
    settings: Mapping[str, Any]


class Agenda:
    """The units of a study that wait for others, and those that have failed."""

    def __init__(self, groups: Sequence[Group], finished: Finished):
        self.waiting = list(groups)
        self.unfinished = {run.id for group in groups for run in group}
        self.lost: set[str] = set()
        self.mistakes: list[str] = []
        self.finished = finished

    def ready(self) -> list[Group]:
        """The units that wait for nothing; those that need a failed one always do."""
        return [group for group in self.waiting if not needed_ids(group) & self.unfinished]

    def end(self, group: Group, outcomes: Sequence[dict[str, Any] | UserError]) -> None:
        """Notes of each run its result, or what was wrong with it."""
        for run, outcome in zip(group, outcomes, strict=True):
            if not isinstance(outcome, UserError):
                self.unfinished.discard(run.id)
                self.finished(run, outcome)
        for run, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, UserError):
                self.fail((run,), str(outcome))

    def fail(self, group: Group, mistake: str) -> None:
        """Notes a mistake, and parts waiting units into runs that need what failed and runs that do not."""
        self.mistakes.append(mistake)
        self.lost |= {run.id for run in group}
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            lost = tuple(run for run in each if needed_ids((run,)) & self.lost)
            self.lost |= {run.id for run in lost}
            self.waiting += [part for part in (tuple(run for run in each if run not in lost), lost) if part]
        if self.ready():
            log.warning('%s failed; the runs that do not need it go on.', run_ids(group))

    def close(self) -> None:
        """Raises what was wrong.

        Raises:
          UserError: each mistake in a sentence, and what was not started because of them.
        """
        if self.mistakes:
            left = [run.id for group in self.waiting for run in group]
            more = [f'Not started, because they need what failed: {", ".join(left)}.'] if left else []
            raise UserError('\n'.join([*dict.fromkeys(self.mistakes), *more]))


def run_workers(
    groups: Sequence[Group],
    start: Callable[[Group], bool],
    poll: Callable[[bool], Sequence[tuple[Group, Outcome]]],
    finished: Finished,
) -> None:
    """Has workers train every unit.

    Args:
      units: what is to be trained, each after those it needs.
      start: puts a worker to a unit; False if there is no room now.
      poll: waits a moment and returns the units whose workers have ended; its argument tells whether workers are to
        save and stop.
      finished: called with every run's result.
    Raises:
      UserError: mistakes in runs, and workers that died again and again, when the others are done.
      train.Preempted: this process was asked to stop; every worker has saved.
      RuntimeError: a worker met an error of ours; with its traceback.
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
                elif kind == 'crashed':
                    raise RuntimeError(f'{name} met an error of ours in its worker:\n{value}')
                elif kind == 'failed':
                    agenda.fail(group, value)
                elif stop or deaths[name] <= RETRIES:
                    agenda.waiting.append(group)
                    if not stop:
                        log.warning('%s: its worker %s; another one goes on from the last checkpoint.', name, value)
                else:
                    agenda.fail(
                        group,
                        f'{name}: {RETRIES + 1} workers died, the last one {value}; give each more memory, or run the '
                        'same command to go on from the last checkpoint.',
                    )
        if stop and agenda.ready():
            raise Preempted('every worker has saved and stopped; run the same command to go on.', stop[0])
    agenda.close()


def make_assignments(study: Study, groups: Sequence[Group], workdir: Workdir) -> list[Assignment]:
    """A task a unit.

    Raises:
      UserError: a config holds something that cannot be sent to another process.
    """
    settings = {name: getattr(jax.config, name) for name in SETTINGS}
    made = []
    for group in groups:
        assignment = Assignment(Study(group, study.about, study.where), group, workdir.path.absolute(), settings)
        try:
            pickle.dumps(assignment)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"{study.where}: run '{group[0].name}' holds what no other process can be sent ({error}); write a "
                "function as 'module:name', or use --executor=in_process."
            ) from None
        made.append(assignment)
    return made


def train_in_worker(assignment: Assignment, report: Progress) -> Outcome:
    """Trains a unit in this process, which is a worker's."""
    logging.getLogger('absl').setLevel(logging.CRITICAL)  # Orbax raises what it logs
    for name, value in assignment.settings.items():
        jax.config.update(name, value)
    try:
        results = execute_group(assignment.study, assignment.group, Workdir(assignment.workdir), _now_and_then(report))
        return Outcome('finished', results)
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
    """What a unit asks for: of 'cpu', 'gpu' and 'tpu' the most that any of its runs does."""
    asked = [run.config.get('resources', {}) for run in group]
    return {
        kind: max(each.get(kind, default) for each in asked) for kind, default in (('cpu', 1), ('gpu', 0), ('tpu', 0))
    }
