"""Executors on one machine: this process, or several processes that share its cores."""

import contextlib
import math
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from kd_jax.config.errors import MachineError, UserError
from kd_jax.studies.execute import execute_group
from kd_jax.studies.executors.scheduler import (
    POLL_SECONDS,
    Agenda,
    Assignment,
    Executor,
    Finished,
    Group,
    Outcome,
    make_assignments,
    resources_of,
    run_workers,
    train_in_worker,
)
from kd_jax.studies.study import Progress, Study
from kd_jax.studies.workdir import Workdir


def in_process() -> Executor:
    """An executor that trains one group after another in this process."""

    def execute(
        study: Study, groups: Sequence[Group], workdir: Workdir, progress: Progress, finished: Finished
    ) -> None:
        agenda = Agenda(groups, finished)
        while ready := agenda.ready():
            group = ready[0]
            agenda.waiting.remove(group)
            try:
                agenda.end(group, execute_group(study, group, workdir, progress))
            except MachineError:
                raise
            except UserError as error:
                agenda.fail(group, str(error))
        agenda.close()

    return execute


def processes(workers: int) -> Executor:
    """An executor that trains up to `workers` groups at once, each in its own process on its share of the cores.

    A group that asks for more cores than one share takes several shares.

    Raises:
      UserError: `workers` is less than 1. The executor raises it for a run that asks for an accelerator or for more
        cores than there are.
    """
    if workers < 1:
        raise UserError(f'--workers={workers}: it must be 1 or more, the number of worker processes.')

    def execute(
        study: Study, groups: Sequence[Group], workdir: Workdir, progress: Progress, finished: Finished
    ) -> None:
        free = shares(_cores(), workers)
        count = {group[0].id: _shares_for(group, free, study.where) for group in groups}
        assigned = make_assignments(study, groups, workdir)
        assignment = {group[0].id: own for group, own in zip(groups, assigned, strict=True)}
        live: dict[Connection, tuple[Group, SpawnProcess, list[set[int]]]] = {}
        told: set[Connection] = set()

        def start(group: Group) -> bool:
            if count[group[0].id] > len(free):
                return False
            own = [free.pop() for _ in range(count[group[0].id])]
            pipe, process = _start(assignment[group[0].id], set().union(*own))
            live[pipe] = (group, process, own)
            return True

        def poll(stopping: bool) -> list[tuple[Group, Outcome]]:
            for pipe in set(live) - told if stopping else ():
                told.add(pipe)
                with contextlib.suppress(OSError):
                    pipe.send('stop')
            ended = []
            readable: list[Any] = multiprocessing.connection.wait(list(live), POLL_SECONDS)
            for pipe in readable:
                group, process, own = live[pipe]
                message = _receive(pipe, process)
                if isinstance(message, Outcome):
                    process.join()
                    pipe.close()
                    del live[pipe]
                    free.extend(own)
                    ended.append((group, message))
                else:
                    progress(*message)
            return ended

        try:
            run_workers(groups, start, poll, finished)
        finally:
            for pipe, (_, process, _) in live.items():
                process.terminate()
                process.join()
                pipe.close()

    return execute


def shares(cores: Sequence[int], workers: int) -> list[set[int]]:
    """The cores of each worker: equal and disjoint shares, unless there are more workers than cores."""
    each = len(cores) // workers
    if not each:
        return [{cores[i % len(cores)]} for i in range(workers)]
    return [set(cores[i * each : (i + 1) * each]) for i in range(workers)]


def _shares_for(group: Group, free: Sequence[set[int]], where: str) -> int:
    asked = resources_of(group)
    for kind in ('gpu', 'tpu'):
        if asked[kind]:
            raise UserError(
                f"{where}: run '{group[0].name}' asks for {kind}={asked[kind]}, but local worker processes cannot "
                f'share accelerators; use --executor=ray, or --executor=in_process.'
            )
    count = max(1, math.ceil(asked['cpu'] / len(free[0])))
    if count > len(free):
        raise UserError(
            f"{where}: run '{group[0].name}' asks for cpu={asked['cpu']}, but --workers={len(free)} have "
            f'{sum(map(len, free))} cores in all; ask for fewer.'
        )
    return count


def _cores() -> list[int]:
    if hasattr(os, 'sched_getaffinity'):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _start(assignment: Assignment, cores: set[int]) -> tuple[Connection, SpawnProcess]:
    """Starts a worker on `cores`; they are set before it starts, because a new thread pool counts the cores at once."""
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(target=_worker, args=(theirs, assignment))
    with theirs, _pinned(cores):
        process.start()
    return ours, process


@contextlib.contextmanager
def _pinned(cores: set[int]) -> Iterator[None]:
    if not hasattr(os, 'sched_setaffinity'):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _receive(pipe: Connection, process: SpawnProcess) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        process.join()
        code = process.exitcode or 0
        how = f'was ended by {signal.Signals(-code).name}' if code < 0 else f'exited with code {code}'
        return Outcome('died', how)


def _worker(pipe: Connection, assignment: Assignment) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the parent tells this one
    threading.Thread(target=_stop_when_told, args=(pipe,), daemon=True).start()

    def tell(message: Any) -> None:
        with contextlib.suppress(OSError):  # the parent has been killed; `_stop_when_told` stops this process
            pipe.send(message)

    outcome = train_in_worker(assignment, lambda *progress: tell(progress))
    tell(outcome)
    if outcome.kind != 'finished':
        os._exit(0)  # Orbax's threads would keep the process for ten minutes after a save that failed


def _stop_when_told(pipe: Connection) -> None:
    """Stops this worker when the parent sends any message or is gone."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os.kill(os.getpid(), signal.SIGTERM)
