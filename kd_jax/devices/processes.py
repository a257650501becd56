"""Several processes that run as one program: how they connect and how they agree.

Every process runs the same code on its own part of each array. The first process, the primary, writes everything that
is not an array: results, metrics, configs and reports. A single process is the primary and waits for nobody.
"""

import itertools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from kd_jax.config.errors import UserError

T = TypeVar('T')
MESSAGE_BYTES = 4096
MEETING_SECONDS = 3600  # how long processes wait for one that is still preparing, or building a report
SHUTDOWN_SECONDS = 30  # how long a process that failed alone waits for the others before it ends
_meetings = itertools.count()  # every process passes the same barriers in the same order


def join_processes(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Connects this process to the others. Must be called before JAX is used for anything else.

    Leave out all three arguments where the environment describes the processes (Cloud TPU, Slurm, Open MPI,
    Kubernetes).

    Args:
      coordinator: 'host:port' at which the primary listens.
      processes: number of processes.
      process: number of this process, counted from 0.
    Raises:
      UserError: only some of the arguments are given, they contradict each other, or the environment does not describe
        the processes.
    """
    given = (coordinator, processes, process)
    if any(value is not None for value in given) and None in given:
        raise UserError('--coordinator=HOST:PORT, --processes=N and --process=I go together: give all three or none.')
    if processes is not None and process is not None and not 0 <= process < processes:
        raise UserError(f'--process is {process}, but of {processes} processes the last is number {processes - 1}.')
    # JAX's own handler would swallow a SIGTERM outside the training loop. Inside the loop our processes agree to stop.
    jax.config.update('jax_enable_preemption_service', False)
    try:
        jax.distributed.initialize(coordinator, processes, process, shutdown_timeout_seconds=SHUTDOWN_SECONDS)
    except ValueError as error:
        raise UserError(
            f'--distributed finds no cluster here ({error}): give --coordinator=HOST:PORT, --processes=N, --process=I.'
        ) from error
    _connect()


def _connect() -> None:
    """Connects all devices by computing one sum over them.

    CPUs connect at their first exchange and then wait for each other for half a minute only. Later, one process may
    compile or write for longer than that.
    """
    _meet()
    spread = NamedSharding(Mesh(np.array(jax.devices()), 'all'), PartitionSpec('all'))
    ones = jax.make_array_from_callback((jax.device_count(),), spread, lambda index: np.ones(1, np.float32))
    jax.block_until_ready(jax.jit(jnp.sum)(ones))


def _meet() -> None:
    """Waits until every process is here, for up to `MEETING_SECONDS`; a collective would give up sooner."""
    multihost.get_barrier_sync_fn()(key=f'kd_jax-{next(_meetings)}', timeout_ms=1000 * MEETING_SECONDS)


def is_primary() -> bool:
    """Whether this process is the primary."""
    return jax.process_index() == 0


def on_primary(action: Callable[[], T]) -> T | None:
    """Runs `action` in the primary, while the other processes wait until it is done.

    Returns:
      what `action` returns in the primary; None in the other processes.
    Raises:
      UserError: `action` failed in the primary. The primary raises the original error instead.
    """
    if jax.process_count() == 1:
        return action()
    result, error = None, None
    if is_primary():
        try:
            result = action()
        except Exception as caught:
            error = caught
    _meet()
    message = _from_primary('' if error is None else str(error) or type(error).__name__)
    if error is not None:
        raise error
    if message:
        raise UserError(message)
    return result


def _from_primary(text: str) -> str:
    raw = text.encode()[:MESSAGE_BYTES]
    padded = np.frombuffer(raw.ljust(MESSAGE_BYTES, b'\0'), np.uint8)
    told = multihost_utils.broadcast_one_to_all(padded)
    return bytes(np.asarray(told)).rstrip(b'\0').decode(errors='ignore')


def values_of_all_processes(*values: int) -> np.ndarray:
    """Gathers the values of every process, [processes, values]. Every process must call it."""
    if jax.process_count() == 1:
        return np.array([values])
    return multihost_utils.process_allgather(np.array(values))
