"""Runs a part of the benchmark as a process of its own, so that neither its crash nor its memory harms the others."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]


def outcome(
    command: Sequence[str], seconds: float, environment: Mapping[str, str]
) -> tuple[list[dict[str, Any]], str | None]:
    """Runs a command that prints one JSON object a line, for `seconds` at most.

    Returns:
      the objects that it printed, all of them if it came to its end; and what was wrong, None if nothing.
    """
    if seconds <= 0:
        return [], 'no time was left for it'
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        own = {**os.environ, **environment}
        started = subprocess.Popen(command, cwd=ROOT, env=own, stdout=out, stderr=err, start_new_session=True)
        try:
            started.wait(seconds)
        except subprocess.TimeoutExpired:
            wrong = f'it was stopped after {seconds:.0f} s'
        else:
            wrong = f'it ended with status {started.returncode}' if started.returncode else None
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)  # it, and the processes that it started
                started.wait()
        out.seek(0), err.seek(0)
        objects = [each for each in map(_object, out.read().decode(errors='replace').splitlines()) if each]
        said = err.read().decode(errors='replace').strip().splitlines()
    return objects, f'{wrong}: {said[-1][:300]}' if wrong and started.returncode > 0 and said else wrong


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
