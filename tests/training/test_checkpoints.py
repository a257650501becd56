"""Tests of checkpoints: exact restore, damaged files and a full disk."""

import contextlib
import gc
import os
import pathlib
import resource
import shutil
import threading

import jax
import pytest

from kd_jax.config.errors import MachineError, UserError
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.saved_checkpoints import check_files, read_variables
from tests.training.saved_states import position, state, truncate_everything, variables

# Orbax does not await some coroutines when a part of a checkpoint cannot be read.
pytestmark = pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning')


def restored(directory: pathlib.Path):
    checkpoints = Checkpoints(directory / 'checkpoints')
    found = checkpoints.restore(state(0))
    checkpoints.close()
    gc.collect()
    return found


def test_state_and_position_come_back_bit_for_bit(saved, assert_bitwise):
    got, where = restored(saved)
    assert_bitwise(got, state(2))
    assert where['step'] == 2
    assert where['seconds'] == 2 / 3
    assert list(where['sums']['hard']) == [0.2, 3.0]


def test_a_trained_network_without_parameters_comes_back_too(tmp_path, assert_bitwise):
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    here = state(1, net=variables(1), noise={'params': {}})
    checkpoints.save(here, position(1))
    checkpoints.close()
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    got, _ = checkpoints.restore(state(0, net=variables(0), noise={'params': {}}))
    checkpoints.close()
    gc.collect()
    assert_bitwise(got, here)


def test_a_path_that_reads_as_a_pattern_is_a_path(tmp_path, assert_bitwise):
    directory = tmp_path / 'run [1] *?' / 'checkpoints'
    checkpoints = Checkpoints(directory)
    checkpoints.save(state(1), position(1))
    checkpoints.close()
    got, _ = restored(directory.parent)
    assert_bitwise(got, state(1))
    assert sorted(path.name for path in directory.iterdir()) == ['1', 'newest.json']
    read = read_variables(directory, 'c')
    assert_bitwise(read['net']['params'], state(1).params['net'])


@pytest.mark.parametrize('error', [PermissionError(13, 'Permission denied'), ValueError('x: Too many open files')])
def test_a_good_checkpoint_that_cannot_be_read_now_stays(saved, monkeypatch, error):
    def fail(*_):
        raise error

    checkpoints = Checkpoints(saved / 'checkpoints')
    monkeypatch.setattr(checkpoints._checkpointer, 'load_checkpointables', fail)
    with pytest.raises(UserError, match=r'checkpoints/2 could not be read .* and run the same command again'):
        checkpoints.restore(state(0))
    checkpoints.close()
    assert sorted(path.name for path in (saved / 'checkpoints').iterdir()) == ['1', '2', 'newest.json']


def test_an_empty_directory_restores_nothing(tmp_path):
    assert restored(tmp_path) is None


def test_the_newest_two_checkpoints_are_kept(saved):
    checkpoints = Checkpoints(saved / 'checkpoints')
    checkpoints.save(state(3), position(3))
    assert checkpoints.latest() == 3
    checkpoints.close()
    assert sorted(path.name for path in (saved / 'checkpoints').iterdir()) == ['2', '3', 'newest.json']


def truncate_arrays(newest):
    for path in (newest / 'state').rglob('*'):
        if path.is_file() and path.parent.name == 'd':
            path.write_bytes(path.read_bytes()[:20])


def empty(newest):
    shutil.rmtree(newest)
    newest.mkdir()


DAMAGES = {
    'its arrays are cut off': truncate_arrays,
    'all its files are empty': truncate_everything,
    'its state is gone': lambda newest: shutil.rmtree(newest / 'state'),
    'its position is gone': lambda newest: shutil.rmtree(newest / 'data'),
    'its arrays are gone': lambda newest: shutil.rmtree(newest / 'state' / 'd'),
    'it is empty': empty,
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(damage, saved, caplog, assert_bitwise):
    DAMAGES[damage](saved / 'checkpoints' / '2')
    got, where = restored(saved)
    assert_bitwise(got, state(1))
    assert where['step'] == 1
    assert 'training goes back to the previous checkpoint' in caplog.text
    checkpoints = Checkpoints(saved / 'checkpoints')
    checkpoints.save(state(2), position(2))
    checkpoints.close()
    assert_bitwise(restored(saved)[0], state(2))


def test_checkpoints_that_are_all_damaged_restore_nothing(saved):
    for step in (1, 2):
        truncate_everything(saved / 'checkpoints' / str(step))
    assert restored(saved) is None


def test_a_position_of_another_step_than_the_state_is_damage(saved):
    shutil.rmtree(saved / 'checkpoints' / '2' / 'data')
    shutil.copytree(saved / 'checkpoints' / '1' / 'data', saved / 'checkpoints' / '2' / 'data')
    assert restored(saved)[1]['step'] == 1


def test_what_a_killed_save_leaves_is_ignored(saved, assert_bitwise):
    half = saved / 'checkpoints' / '3.orbax-checkpoint-tmp'
    shutil.copytree(saved / 'checkpoints' / '2', half)
    (half / 'commit_success.txt').unlink(missing_ok=True)
    assert_bitwise(restored(saved)[0], state(2))


def test_files_that_vanish_while_they_are_checked_are_no_error(saved):
    # Orbax removes what a killed save left, in a thread of its own.
    half, ended = saved / 'checkpoints' / '3.orbax-checkpoint-tmp', threading.Event()

    def comes_and_goes():
        while not ended.is_set():
            shutil.copytree(saved / 'checkpoints' / '2', half)
            shutil.rmtree(half)

    thread = threading.Thread(target=comes_and_goes)
    thread.start()
    try:
        for _ in range(300):
            check_files(saved / 'checkpoints')
    finally:
        ended.set()
        thread.join()


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_checkpoints(saved, assert_bitwise):
    checkpoints = Checkpoints(saved / 'checkpoints')
    large = state(3)._replace(key=jax.random.split(jax.random.key(0), 100_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match='a file may not become that large: raise the limit'):
            checkpoints.save(large, position(3))
        with pytest.raises(UserError, match='may not become that large'):
            checkpoints.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_bitwise(restored(saved)[0], state(2))


def test_a_checkpoint_that_cannot_be_opened_now_is_not_called_damaged(saved, assert_bitwise):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    checkpoints = Checkpoints(saved / 'checkpoints')
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir('/dev/fd'))) + 5, hard))
    taken = []  # the limit is on the number of a file, so the numbers below it that are free must be taken
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(4):
            os.close(taken.pop())
        with pytest.raises(MachineError, match='could not be read because too many files are open'):
            checkpoints.restore(state(0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)
    checkpoints.close()
    assert_bitwise(restored(saved)[0], state(2))


def test_a_directory_that_cannot_be_written_is_refused_before_training(saved, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(UserError, match=r'could not be written \(.*Permission denied\): make it writable'):
        Checkpoints(saved / 'checkpoints')
