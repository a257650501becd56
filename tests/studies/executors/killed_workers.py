"""Real workers that are killed or stopped, and where they end."""

import contextlib
import os
import signal
import threading
import time

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.workdir import Workdir
from kd_jax.training.run_log import read_history


def execute(executor, planned, path, runs=None):
    (path / 'results').mkdir(parents=True, exist_ok=True)
    executor(planned, plan_groups(runs or planned.runs), Workdir(path), lambda *_: None, lambda *_: None)


def final_state(path, run_id):
    directory = path / 'runs' / run_id / 'checkpoints'
    with ocp.training.Checkpointer(directory.absolute()) as checkpointer:
        newest = max(checkpoint.step for checkpoint in checkpointer.checkpoints)
        return jax.tree.map(np.asarray, checkpointer.load_checkpointables(newest)['state'] | {'key': 0})


def assert_ends_alike(path, uninterrupted, run_ids=('teacher-s0', 'student-s0')):
    for run_id in run_ids:
        jax.tree.map(np.testing.assert_array_equal, final_state(path, run_id), final_state(uninterrupted, run_id))
        result, whole = (Workdir(p).result(run_id) for p in (path, uninterrupted))
        assert result['last'] == whole['last']
        assert [row | {'seconds': 0} for row in result['history']] == [row | {'seconds': 0} for row in whole['history']]


@contextlib.contextmanager
def once_saved(path, act):
    """Calls `act` in another thread as soon as the teacher has its first checkpoint; yields the list of its results."""

    def wait():
        there = path / 'runs' / 'teacher-s0' / 'checkpoints'
        while not any(saved.name.isdigit() for saved in there.glob('*')):
            time.sleep(0.005)
        acted.append(act())

    acted = []
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield acted
    thread.join(1.0)
    assert acted


def kill(pid, path):
    """Kills a worker; returns the first row of the teacher's history."""
    os.kill(pid, signal.SIGKILL)
    return read_history(path / 'runs' / 'teacher-s0' / 'metrics.jsonl')[0]


def assert_went_on(path, row):
    """Checks that the first row is unchanged, time included; a run that had started again would have replaced it."""
    assert Workdir(path).result('teacher-s0')['history'][0] == row


def signal_self(number):
    os.kill(os.getpid(), number)
    return number
