"""A Ray cluster whose workers are killed or stopped, and what the driver and its workers tell each other."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies import executors
from kd_jax.studies.executors import ray_cluster
from kd_jax.studies.workdir import Workdir
from kd_jax.training.stop_signals import Preempted
from tests.small_studies import parsed
from tests.studies.executors.killed_workers import (
    assert_ends_alike,
    assert_went_on,
    execute,
    kill,
    once_saved,
    signal_self,
)

# `final_state` reads checkpoints without giving shardings.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
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


def test_the_board_holds_the_latest_report_of_each_group_until_it_is_taken_and_tells_workers_to_stop():
    runs, board = parsed().runs, ray_cluster.Board()
    first, second = runs[:1], runs[1:2]
    assert not board.put(first, 1, 9)
    assert not board.put(second, 3, 9)
    assert not board.put(first, 2, 9)
    assert board.take(False) == [(first, 2, 9), (second, 3, 9)]
    assert board.take(True) == []
    assert board.put(first, 4, 9)


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
