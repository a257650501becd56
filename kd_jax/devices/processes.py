"""Several processes that run one program: how they connect, and how they agree.

Every process runs the same code on its own part of each array. The first process, the primary, writes everything that
is not an array: results, metrics, configs, reports. With a single process, everything here does nothing.
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


MEETING_SECONDS = 3600  # how much longer than the others one process may take to get ready, or to build a report


SHUTDOWN_SECONDS = 30  # how long a process that has failed alone keeps the others waiting


_meetings = itertools.count()  # every process meets as often


def join_processes(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Makes this process one of several; to be called before JAX is used for anything else.

    Args:
      coordinator: 'host:port' at which the primary listens; None, with the other two, where the environment says all
        (Cloud TPU, Slurm, Open MPI, Kubernetes).
      processes: how many there are.
      process: which one this is, from 0 on.
    Raises:
      UserError: only some of the three are given, or they do not go together, or the environment does not say.
    """
    given = (coordinator, processes, process)
    if any(value is not None for value in given) and None in given:
        raise UserError('--coordinator=HOST:PORT, --processes=N and --process=I go together: give all three or none.')
    if processes is not None and process is not None and not 0 <= process < processes:
        raise UserError(f'--process is {process}, but of {processes} processes it is one of 0 to {processes - 1}.')
    # Its handler would swallow a SIGTERM that comes outside the loop; in the loop the processes agree by themselves.
    jax.config.update('jax_enable_preemption_service', False)
    try:
        jax.distributed.initialize(coordinator, processes, process, shutdown_timeout_seconds=SHUTDOWN_SECONDS)
    except ValueError as error:
        raise UserError(
            f'--distributed finds no cluster here ({error}): give --coordinator=HOST:PORT, --processes=N, --process=I.'
        ) from error
    _connect()


def _connect() -> None:
    """One sum over all devices: CPUs connect at their first exchange and wait half a minute for each other then.

    Later one process may compile or write for longer than another.
    """
    _meet()
    spread = NamedSharding(Mesh(np.array(jax.devices()), 'all'), PartitionSpec('all'))
    ones = jax.make_array_from_callback((jax.device_count(),), spread, lambda index: np.ones(1, np.float32))
    jax.block_until_ready(jax.jit(jnp.sum)(ones))


def _meet() -> None:
    """Waits until every process is here; unlike a collective, for as long as it takes."""
    multihost.get_barrier_sync_fn()(key=f'kd_jax-{next(_meetings)}', timeout_ms=1000 * MEETING_SECONDS)


def is_primary() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def on_primary(action: Callable[[], T]) -> T | None:
    """What `action` returns in the primary, None in the others, which wait until it is done.

    Raises:
      UserError: in the others, what went wrong in the primary, which raises it as it is.
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
    """The values that each process gives, [processes, values]; all of them have to ask."""
    if jax.process_count() == 1:
        return np.array([values])
    return multihost_utils.process_allgather(np.array(values))
