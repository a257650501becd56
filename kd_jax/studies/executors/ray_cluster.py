"""An executor for a running Ray cluster (https://docs.ray.io). Ray is optional: the extra `ray`."""

import importlib.util
import logging
import math
import os
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

import jax

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.ordinary_files import read_text, write_text
from kd_jax.studies.executors.scheduler import (
    POLL_SECONDS,
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
from kd_jax.studies.study import Progress, Run, Study
from kd_jax.studies.workdir import Workdir

CONNECT_SECONDS = 5.0
SEEN = '.seen'
log = logging.getLogger(__name__)


def ray(address: str = 'auto') -> Executor:
    """An executor that trains groups on a Ray cluster, each as soon as a node has the resources that its runs ask for.

    Each group has its own process, which sees only the accelerators that the group asked for. The work directory must
    be on storage that all nodes share.

    Args:
      address: 'host:port' of the cluster's head, or 'auto' for the cluster that this machine belongs to.
    Raises:
      UserError: Ray is not installed, or no cluster answers.
    """
    _connect(address)

    def execute(
        study: Study, groups: Sequence[Group], workdir: Workdir, progress: Progress, finished: Finished
    ) -> None:
        import ray

        todo = {
            group[0].id: assignment
            for group, assignment in zip(groups, make_assignments(study, groups, workdir), strict=True)
        }
        options = {group[0].id: _options(group, study.where) for group in groups}
        token = secrets.token_hex(8)
        seen = workdir.path / SEEN
        write_text(seen, token)
        actor: Any = ray.remote(num_cpus=0)(Board)
        board = actor.remote()
        # Each group gets a new process. `run_workers` does the retries, so Ray must not.
        remote, live = ray.remote(max_calls=1, max_retries=0)(_remote), {}

        def start(group: Group) -> bool:
            live[remote.options(**options[group[0].id]).remote(todo[group[0].id], token, board)] = group
            return True

        def poll(stopping: bool) -> list[tuple[Group, Outcome]]:
            done, _ = ray.wait(list(live), timeout=POLL_SECONDS)
            for report in ray.get(board.take.remote(stopping)):
                progress(*report)
            return [(live.pop(reference), _outcome(reference)) for reference in done]

        try:
            run_workers(groups, start, poll, finished)
        finally:
            ray.shutdown()  # ends every worker of this driver
            seen.unlink(missing_ok=True)

    return execute


def stand_ins(study: Study) -> Callable[[Run], list[Any]]:
    """CPU devices in place of the accelerators that each run asks for, so that the driver can check the run's mesh.

    The driver itself takes no accelerator, because a worker on its node may need it.
    """
    counts = {
        run.name: math.ceil(max(1, *(resources_of((run,))[kind] for kind in ('gpu', 'tpu')))) for run in study.runs
    }
    jax.config.update('jax_platforms', 'cpu')
    if max(counts.values()) > 1:
        jax.config.update('jax_num_cpu_devices', max(counts.values()))
    return lambda run: jax.devices()[: counts[run.name]]


class Board:
    """An actor between workers and driver: it holds the workers' latest reports, and whether workers must stop."""

    def __init__(self) -> None:
        self.reports: dict[str, tuple[Any, ...]] = {}
        self.stopping = False

    def put(self, runs: Sequence[Run], *report: Any) -> bool:
        """Stores a worker's report; returns whether the worker must save and stop."""
        self.reports[runs[0].id] = (runs, *report)
        return self.stopping

    def take(self, stopping: bool) -> list[tuple[Any, ...]]:
        """Stores whether workers must stop; returns the reports since the last call."""
        self.stopping = stopping
        taken, self.reports = list(self.reports.values()), {}
        return taken


def _connect(address: str) -> None:
    """Connects to the cluster.

    Raises:
      UserError: as `ray`.
    """
    if importlib.util.find_spec('ray') is None:
        raise UserError("--executor=ray needs Ray, which is not installed: pip install '.[ray]'.")
    import ray

    if address != 'auto':
        host, _, port = address.rpartition(':')
        if not (host and port.isdigit()):
            raise UserError(f"--ray_address={address} is neither 'auto' nor 'host:port'.")
        try:  # Ray itself would keep trying for minutes
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f'no Ray cluster answers at {address} ({error}); start one with: ray start --head --port={port}.'
            ) from None
    try:
        ray.init(address, log_to_driver=False, ignore_reinit_error=True, logging_level=logging.ERROR)
    except Exception as error:
        raise UserError(f'the Ray cluster at {address} cannot be joined: {first_line(error)}.') from None


def _options(group: Group, where: str) -> dict[str, Any]:
    """The resources of a group, as options of Ray.

    Raises:
      UserError: a number of accelerators above 1 that is not whole; Ray refuses it.
    """
    import ray

    asked = resources_of(group)
    for kind in ('gpu', 'tpu'):
        if asked[kind] > 1 and asked[kind] != int(asked[kind]):
            raise UserError(
                f"{where}: run '{group[0].name}' asks for {kind}={asked[kind]}; above 1 it must be a whole number."
            )
    nodes = [node['Resources'] for node in ray.nodes() if node['Alive']]
    wanted = {'CPU': asked['cpu'], 'GPU': asked['gpu'], 'TPU': asked['tpu']}
    if not any(all(node.get(key, 0) >= value for key, value in wanted.items()) for node in nodes):
        shown = ', '.join(f'{kind}={value:g}' for kind, value in asked.items() if value)
        log.warning(
            'no node of the cluster has %s, which run %s asks for; the run waits for such a node.', shown, group[0].name
        )
    tpus = {'resources': {'TPU': asked['tpu']}} if asked['tpu'] else {}
    return {'num_cpus': asked['cpu'], 'num_gpus': asked['gpu'], **tpus}


def _remote(assignment: Assignment, token: str, board: Any) -> Outcome:
    """The function that a worker runs. It never raises, so an exception always means that the worker died."""
    import ray

    try:
        there = read_text(assignment.workdir / SEEN, 2**10)
    except UserError:
        there = ''
    if there != token:
        return Outcome(
            'failed',
            f'{socket.gethostname()} does not see the files that the driver writes to {assignment.workdir}: --workdir '
            'must be on storage that all nodes share.',
        )
    asked = resources_of(assignment.group)
    os.environ['NPROC'] = str(max(1, math.ceil(asked['cpu'])))  # the size of XLA's thread pool
    platforms = None if asked['gpu'] or asked['tpu'] else 'cpu'
    assignment = assignment._replace(settings={**assignment.settings, 'jax_platforms': platforms})

    def report(*progress: Any) -> None:
        if ray.get(board.put.remote(*progress)):
            os.kill(os.getpid(), signal.SIGTERM)

    return train_in_worker(assignment, report)


def _outcome(reference: Any) -> Outcome:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # the call failed: kd_jax is missing or differs there
        return Outcome('crashed', str(error))
    except ray.exceptions.RayError as error:
        return Outcome('died', f'died ({type(error).__name__})')
