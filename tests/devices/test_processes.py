"""Two real processes on this machine, with two simulated devices each, run as one program."""

import functools
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from kd_jax.config.errors import UserError
from kd_jax.devices.processes import join_processes
from kd_jax.training.run_log import read_history

ROOT = pathlib.Path(__file__).parents[2]


def command(workdir, *options):
    config = ROOT / 'tests' / 'distributed_config.py'
    return [sys.executable, '-m', 'experiments.run', f'--config={config}', f'--workdir={workdir}', *options]


def started(arguments, devices):
    flags = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count={devices}'
    environment = {**os.environ, 'XLA_FLAGS': flags}
    return subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def two(workdir):
    """Starts two processes that train a network together; its larger kernel is split over the devices of both."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    mesh = ('--config.runs.net.mesh={"fsdp": 4}', '--config.runs.net.networks.net.sharding=fsdp')
    both = command(workdir, *mesh, f'--coordinator=127.0.0.1:{port}', '--processes=2')
    return [started([*both, f'--process={i}'], devices=2) for i in range(2)]


def ended(processes):
    """Returns what each process printed; fails unless all of them succeed."""
    out = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), '\n'.join(out)
    return out


def history(workdir):
    rows = read_history(workdir / 'runs' / 'net-s0' / 'metrics.jsonl')
    return [{key: value for key, value in row.items() if key != 'seconds'} for row in rows]


def wait_for_rows(count, workdir, processes):
    while len(history(workdir)) < count:
        assert all(process.poll() is None for process in processes), processes[0].communicate()[0]
        time.sleep(0.01)


def final_state(workdir):
    """Returns the newest checkpoint, read on one device, without the key, which never changes."""
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    directory = workdir / 'runs' / 'net-s0' / 'checkpoints'
    with ocp.training.Checkpointer(directory.absolute()) as checkpointer:
        newest = max(checkpoint.step for checkpoint in checkpointer.checkpoints)
        there = checkpointer.checkpointables_metadata(newest).metadata['state']
        like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=here), there)
        loaded = checkpointer.load_checkpointables(newest, {'state': {**like, 'key': ocp.PLACEHOLDER}})['state']
        return {name: tree for name, tree in loaded.items() if name != 'key'}


@pytest.fixture(autouse=True, scope='module')
def compiled_once_a_session(tmp_path_factory):
    """Keeps the compilation cache out of the home directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HOME', str(tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Returns the work directory of an uninterrupted run of two processes, and what each process printed."""
    workdir = tmp_path_factory.mktemp('two')
    return workdir, ended(two(workdir))


def test_two_processes_give_what_one_gives_and_only_the_first_speaks(whole, tmp_path):
    workdir, (first, second) = whole
    assert '[1/1] net-s0: net ' in first
    assert 'net-s0' not in second
    ended([started(command(tmp_path), devices=1)])
    assert len(history(workdir)) == 5
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, history(workdir), history(tmp_path))
    jax.tree.map(close, *[final_state(path) for path in (workdir, tmp_path)])


def test_stopped_together_killed_and_started_again_they_end_bit_for_bit_where_uninterrupted_ones_end(whole, tmp_path):
    processes = two(tmp_path)
    wait_for_rows(1, tmp_path, processes)
    processes[1].terminate()  # only one process gets the signal
    out = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [128 + signal.SIGTERM] * 2, '\n'.join(out)
    stopped = int(re.search(r'stopped at step (\d+) of', out[0])[1])

    processes = two(tmp_path)
    wait_for_rows(stopped // 6 + 1, tmp_path, processes)
    processes[1].kill()
    try:
        # A process left alone ends at once during an exchange of arrays; at a barrier JAX needs 100 s to notice.
        out = processes[0].communicate(timeout=5)[0]
        assert processes[0].returncode != 0
        assert 'Traceback' not in out
    except subprocess.TimeoutExpired:
        processes[0].kill()
        processes[0].communicate()
    processes[1].communicate()
    assert processes[1].returncode == -signal.SIGKILL
    assert not (tmp_path / 'results' / 'net-s0.json').exists()

    ended(two(tmp_path))
    assert history(tmp_path) == history(whole[0])
    jax.tree.map(np.testing.assert_array_equal, *[final_state(path) for path in (tmp_path, whole[0])])


@pytest.mark.parametrize(
    ('hosts', 'said'),
    [
        (('127.0.0.1:1', None, 0), 'give all three or none'),
        ((None, None, 1), 'give all three or none'),
        (('127.0.0.1:1', 2, 2), 'of 2 processes the last is number 1'),
    ],
)
def test_processes_that_do_not_go_together_are_one_sentence(hosts, said):
    with pytest.raises(UserError, match=said):
        join_processes(*hosts)


def test_where_there_is_no_cluster_is_one_sentence(tmp_path):
    process = started(command(tmp_path / 'work', '--distributed'), devices=1)
    out = process.communicate()[0]
    assert process.returncode == 2
    assert out.startswith('error: --distributed finds no cluster here (')
    assert len(out.splitlines()) == 1
    assert not (tmp_path / 'work').exists()
