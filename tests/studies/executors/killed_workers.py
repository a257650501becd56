"""Real workers that are killed or stopped, and where they end."""

import contextlib
import os
import signal
import threading
import time

import jax
import numpy as np

from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.workdir import Workdir
from kd_jax.training.run_log import read_history
from tests.finished_runs import final_state, raw, without_seconds


def execute(executor, planned, path, runs=None):
    (path / 'results').mkdir(parents=True, exist_ok=True)
    executor(planned, plan_groups(runs or planned.runs), Workdir(path), lambda *_: None, lambda *_: None)


def assert_ends_alike(path, uninterrupted, run_ids=('teacher-s0', 'student-s0')):
    for run_id in run_ids:
        workdirs = [Workdir(path), Workdir(uninterrupted)]
        states = [jax.tree.map(raw, final_state(workdir.directory(run_id))) for workdir in workdirs]
        jax.tree.map(np.testing.assert_array_equal, *states)
        result, whole = (workdir.result(run_id) for workdir in workdirs)
        assert result['last'] == whole['last']
        assert without_seconds(result['history']) == without_seconds(whole['history'])


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
