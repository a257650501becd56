"""How much memory this machine and its devices have."""

import contextlib
import os
import pathlib

from jax.sharding import Mesh

LIMITS = ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes')  # of a container


def host_bytes() -> int | None:
    """The memory that processes on this machine, or in this container, may use, in bytes; None if it is not known."""
    found = []
    with contextlib.suppress(ValueError, OSError, AttributeError):  # a system that does not say
        found.append(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))
    for limit in LIMITS:
        with contextlib.suppress(ValueError, OSError):  # no limit
            found.append(int(pathlib.Path(limit).read_text()))
    return min((size for size in found if size > 0), default=None)


def device_bytes(mesh: Mesh) -> int | None:
    """The memory of each of this process's devices in a mesh, in bytes; None if it is not known.

    Several CPU devices share the memory of the machine.
    """
    local = mesh.local_devices
    if not local:
        return None
    if local[0].platform == 'cpu':
        whole = host_bytes()
        return None if whole is None else whole // len(local)
    try:
        return (local[0].memory_stats() or {}).get('bytes_limit')
    except Exception:  # a description of a device has no memory
        return None
