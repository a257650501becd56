"""Tests of checkpoints (exact restore, damaged files, a full disk) and of networks loaded from other runs."""

import gc
import pathlib
import resource
import shutil

import jax
import jax.numpy as jnp
import optax
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.core.state import State
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.initial_weights import load_from_checkpoint

# Orbax does not await some coroutines when a part of a checkpoint cannot be read.
pytestmark = pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning')
MODULE = models.mlp(hidden=(4,), num_classes=3)
NETWORK = Network('teacher', MODULE, (), update='frozen', init='run:first')


def variables(seed, width=4):
    return models.mlp(hidden=(width,), num_classes=3).init(jax.random.key(seed), jnp.zeros((1, 5)))


def state(step, **networks):
    """A state at `step` with random parameters, momenta and batch statistics."""
    params = {name: tree['params'] for name, tree in (networks or {'net': variables(step)}).items()}
    momenta = {name: optax.sgd(0.1, momentum=0.9).init(tree) for name, tree in params.items()}
    statistics = {name: {'batch_stats': {'mean': jnp.full(3, step / 7)}} if name == 'net' else {} for name in params}
    return State(jnp.int32(step), params, statistics, momenta, jax.random.key(step))


def position(step):
    return {'step': step, 'seconds': step / 3, 'sums': {'hard': (0.1 * step, 3.0)}}


@pytest.fixture
def saved(tmp_path):
    """A directory with the checkpoints of steps 1 and 2."""
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    for step in (1, 2):
        checkpoints.save(state(step), position(step))
    checkpoints.close()
    return tmp_path


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


def test_a_part_of_another_runs_network_is_taken_alone(saved, assert_bitwise):
    classifier = Network('classifier', models.classifier(num_classes=3), (), init='run:first', part=('head',))
    own = classifier.module.init(jax.random.key(5), jnp.zeros((1, 4)))
    loaded = load_from_checkpoint(classifier, saved, 'net', own, 'here')
    assert set(loaded['params']) == {'head'}
    assert_bitwise(loaded['params']['head'], variables(2)['params']['head'])
    whole = Network('classifier', models.classifier(num_classes=3), (), init='run:first')
    with pytest.raises(UserError, match='missing here'):
        load_from_checkpoint(whole, saved, 'net', own, 'here')
    other = Network('classifier', models.classifier(num_classes=3), (), init='run:first', part=('fc',))
    with pytest.raises(UserError, match=r"here has no module 'fc' to take from there\. Known: head"):
        load_from_checkpoint(other, saved, 'net', own, 'here')


def test_an_empty_directory_restores_nothing(tmp_path):
    assert restored(tmp_path) is None


def test_the_newest_two_checkpoints_are_kept(saved):
    checkpoints = Checkpoints(saved / 'checkpoints')
    checkpoints.save(state(3), position(3))
    assert checkpoints.latest() == 3
    checkpoints.close()
    assert sorted(path.name for path in (saved / 'checkpoints').iterdir()) == ['2', '3']


def truncate_arrays(newest):
    for path in (newest / 'state').rglob('*'):
        if path.is_file() and path.parent.name == 'd':
            path.write_bytes(path.read_bytes()[:20])


def truncate_everything(newest):
    for path in newest.rglob('*'):
        if path.is_file():
            path.write_bytes(b'')


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


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_checkpoints(saved, assert_bitwise):
    checkpoints = Checkpoints(saved / 'checkpoints')
    large = state(3)._replace(key=jax.random.split(jax.random.key(0), 100_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match='the disk is full: free some space'):
            checkpoints.save(large, position(3))
        with pytest.raises(UserError, match='the disk is full'):
            checkpoints.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_bitwise(restored(saved)[0], state(2))


@pytest.fixture
def teachers(tmp_path):
    """A run that trained two networks."""
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(state(5, net=variables(1), wide=variables(2, width=6)), position(5))
    checkpoints.close()
    return tmp_path


def test_a_loaded_network_is_the_saved_one_bit_for_bit(teachers, assert_bitwise):
    own = variables(0) | {'batch_stats': {'mean': jnp.zeros(3)}}
    got = load_from_checkpoint(NETWORK, teachers, 'net', own, 'here')
    assert_bitwise(got, variables(1) | {'batch_stats': {'mean': jnp.full(3, 5 / 7)}})


def test_a_network_of_another_width_is_foreign(teachers):
    with pytest.raises(UserError, match=r'does not fit .*params/dense1/bias is \(6,\) there and \(4,\) here'):
        load_from_checkpoint(NETWORK, teachers, 'wide', variables(0), 'here')


def test_of_several_networks_one_must_be_named(teachers):
    with pytest.raises(UserError, match=r'several networks: name one as.*Known: net, wide'):
        load_from_checkpoint(NETWORK, teachers, '', variables(0), 'here')
    with pytest.raises(UserError, match=r"no network 'wid'. Did you mean 'wide'\?"):
        load_from_checkpoint(NETWORK, teachers, 'wid', variables(0), 'here')


def test_a_directory_without_checkpoints_is_named(tmp_path):
    with pytest.raises(UserError, match=r'here: .* holds no checkpoints to start from'):
        load_from_checkpoint(NETWORK, tmp_path, '', variables(0), 'here')


def test_a_damaged_teacher_is_an_error_not_an_older_teacher(saved):
    truncate_everything(saved / 'checkpoints' / '2')
    with pytest.raises(UserError, match=r'the checkpoint in .* cannot be read .* delete the result of that run'):
        load_from_checkpoint(NETWORK, saved, '', variables(0), 'here')


def test_a_loaded_network_has_no_fresh_modules(teachers):
    fresh = Network('teacher', MODULE, (), fresh=('head',))
    got = load_from_checkpoint(fresh, teachers, 'wide', variables(0, width=6), 'here')
    assert set(got['params']) == {'dense1'}
