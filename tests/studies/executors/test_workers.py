"""Tests of executors with real workers that are killed or stopped.

The teacher evaluates and saves twelve times, so there is time to kill its worker in between.
"""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError
from kd_jax.studies import executors
from kd_jax.studies.executors import ray_cluster
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir
from kd_jax.training.run_log import read_history
from kd_jax.training.stop_signals import Preempted

# `final_state` reads checkpoints without giving shardings.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
CONFIG = str(pathlib.Path(__file__).parents[2] / 'tiny_config.py')


@pytest.fixture(scope='module')
def planned():
    quick = ['runs.teacher.epochs=6.0', 'runs.teacher.data.augment.crop=0', 'runs.student.data.augment.crop=0']
    config, _ = load_config(CONFIG, quick)
    return parse_study(config, 'tiny')


def execute(executor, planned, path, runs=None):
    (path / 'results').mkdir(parents=True, exist_ok=True)
    executor(planned, plan_groups(runs or planned.runs), Workdir(path), lambda *_: None, lambda *_: None)


@pytest.fixture(scope='module')
def uninterrupted(planned, tmp_path_factory):
    path = tmp_path_factory.mktemp('uninterrupted')
    execute(executors.in_process(), planned, path)
    return path


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


def test_processes_go_on_after_a_worker_is_killed_and_end_bitwise_alike(uninterrupted, planned, tmp_path, caplog):
    with once_saved(tmp_path, lambda: kill(multiprocessing.active_children()[0].pid, tmp_path)) as seen:
        execute(executors.processes(1), planned, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        'teacher-s0: its worker was ended by SIGKILL; a new worker continues from the last checkpoint.'
    ]
    assert_went_on(tmp_path, *seen)
    assert_ends_alike(tmp_path, uninterrupted)
    assert not multiprocessing.active_children()


def test_a_signal_makes_processes_save_and_stop_and_the_same_call_goes_on(uninterrupted, planned, tmp_path):
    teacher = planned.runs[:1]
    with once_saved(tmp_path, lambda: signal_self(signal.SIGTERM)), pytest.raises(Preempted) as stopped:
        execute(executors.processes(2), planned, tmp_path, teacher)
    assert stopped.value.number == signal.SIGTERM
    assert not multiprocessing.active_children()
    assert not Workdir(tmp_path).result_path('teacher-s0').exists()
    history = read_history(tmp_path / 'runs' / 'teacher-s0' / 'metrics.jsonl')
    assert 0 < history[-1]['step'] < 72
    execute(executors.in_process(), planned, tmp_path, teacher)
    assert_ends_alike(tmp_path, uninterrupted, ['teacher-s0'])


def signal_self(number):
    os.kill(os.getpid(), number)
    return number


CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster()
cluster.add_node(wait=False, num_cpus=1, include_dashboard=False, object_store_memory=80 * 2**20)
cluster.wait_for_nodes(timeout=300)
print('address', cluster.address, flush=True)
try:
    input()  # returns when the test closes stdin or has been killed
except EOFError:
    pass
cluster.shutdown()
"""


@pytest.fixture(scope='module')
def cluster():
    """The address of a real cluster with one core, in separate processes on this machine."""
    pytest.importorskip('ray')
    variables = {'RAY_USAGE_STATS_ENABLED': '0', 'PYTHONPATH': str(pathlib.Path(__file__).parents[3])}
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, '-c', CLUSTER], env=os.environ | variables, text=True, **pipes) as process:
        yield next(line.split()[1] for line in process.stdout if line.startswith('address'))
        process.stdin.close()
        process.wait()


def ray_workers():
    """The ids of the processes that run `_remote`; Ray names a worker process after its function."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b'ray::_remote'):
                found.append(int(path.parent.name))
    return found


def test_ray_goes_on_after_a_worker_is_killed_and_ends_bitwise_alike(uninterrupted, planned, cluster, tmp_path, caplog):
    executor = executors.ray(cluster)
    with once_saved(tmp_path, lambda: kill(ray_workers()[0], tmp_path)) as seen:
        execute(executor, planned, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        'teacher-s0: its worker died (WorkerCrashedError); a new worker continues from the last checkpoint.'
    ]
    assert_went_on(tmp_path, *seen)
    assert_ends_alike(tmp_path, uninterrupted)
    assert not (tmp_path / '.seen').exists()


def test_a_signal_makes_ray_workers_save_and_stop(planned, cluster, tmp_path):
    executor = executors.ray(cluster)
    with once_saved(tmp_path, lambda: signal_self(signal.SIGINT)), pytest.raises(Preempted) as stopped:
        execute(executor, planned, tmp_path, planned.runs[:1])
    assert stopped.value.number == signal.SIGINT
    assert not Workdir(tmp_path).result_path('teacher-s0').exists()


def test_a_worker_that_does_not_see_the_work_directory_says_so(planned, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster, 'SEEN', 'another')  # changed here, but not in the workers
    with pytest.raises(UserError, match=r'does not see the files that the driver writes to .* storage that all nodes'):
        execute(executors.ray(cluster), planned, tmp_path)
    assert not (tmp_path / 'runs').exists()
