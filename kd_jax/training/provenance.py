"""Records where a result comes from: commit, command, machine and versions."""

import functools
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

import jax

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')


@functools.cache
def of_this_process() -> dict[str, Any]:
    """Commit, uncommitted changes (yes or no), command, hardware and versions, as they were at the first call."""
    return {
        'commit': _git('rev-parse', 'HEAD'),
        'dirty': bool(_git('status', '--porcelain', '--untracked-files=no')),
        'command': command(),
        'hardware': {
            'processor': _processor(),
            'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
            'backend': jax.default_backend(),
            'devices': jax.device_count(),
            'kind': jax.devices()[0].device_kind,
        },
        'versions': {'python': platform.python_version(), **{p: importlib.metadata.version(p) for p in PACKAGES}},
    }


def command() -> str:
    """The command that started this process, as typed in a shell."""
    module = getattr(sys.modules['__main__'], '__spec__', None)
    start = ['-m', module.name.removesuffix('.__main__')] if module else [pathlib.Path(sys.argv[0]).name]
    return shlex.join(['python', *start, *sys.argv[1:]])


def _git(*arguments: str) -> str | None:
    # Without optional locks, git leaves no lock file behind if the run is killed during this call.
    asked = ['git', '--no-optional-locks', '-C', str(pathlib.Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.split(':')[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
