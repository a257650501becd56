"""Networks that start from the checkpoint of another run: which of its variables they take, and what is refused."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.checked_json import write_checked
from kd_jax.config.errors import UserError
from kd_jax.core.network import Network, Normalize
from kd_jax.data.sources import Source
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.initial_weights import load_from_checkpoint, load_initial_weights
from tests.language import small_decoder
from tests.training.saved_states import position, state, truncate_everything, variables

# Orbax does not await some coroutines when a part of a checkpoint cannot be read.
pytestmark = pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning')
MODULE = models.mlp(hidden=(4,), num_classes=3)
NETWORK = Network('teacher', MODULE, (), update='frozen', init='run:first')


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
    with pytest.raises(UserError, match=r'the checkpoint .*checkpoints/2 is damaged .* delete the result of that run'):
        load_from_checkpoint(NETWORK, saved, '', variables(0), 'here')


def test_a_loaded_network_has_no_fresh_modules(teachers):
    fresh = Network('teacher', MODULE, (), fresh=('head',))
    got = load_from_checkpoint(fresh, teachers, 'wide', variables(0, width=6), 'here')
    assert set(got['params']) == {'dense1'}


def test_a_smaller_decoder_starts_from_layers_of_a_run(tmp_path, assert_bitwise):
    large, small = small_decoder.decoder(layers=4), small_decoder.decoder(layers=2)
    theirs = small_decoder.weights(large)
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(state(2, large=theirs), position(2))
    checkpoints.close()
    own = jax.eval_shape(small.init, jax.random.key(0), small_decoder.TOKENS)

    def load(**options):
        network = Network('student', small, (), init='run:first', **options)
        return load_from_checkpoint(network, tmp_path, '', own, 'here')

    expected = {**theirs['params'], 'blocks': jax.tree.map(lambda a: a[[1, 3]], theirs['params']['blocks'])}
    assert_bitwise(load(init_layers=(2, 4)), {'params': expected})
    with pytest.raises(UserError, match=r'attention_norm/scale is \(4, 12\) there and \(2, 12\) here'):
        load()
    with pytest.raises(UserError, match=r'here: init_layers has 5, but .* has 4 layers'):
        load(init_layers=(2, 5))


def test_a_run_in_another_directory_has_the_options_that_no_shape_shows(tmp_path, assert_bitwise):
    module = small_decoder.decoder()
    theirs = small_decoder.weights(module)
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(state(2, words=theirs), position(2))
    checkpoints.close()
    options = {**small_decoder.SIZES, 'qkv_bias': True, 'tied': False}

    def load(**trained):
        network = {'model': 'decoder', 'input': ['batch.tokens'], **options, **trained}
        write_checked(tmp_path / 'config.json', {'networks': {'words': network}})
        student = Network('student', module, (), init=str(tmp_path))
        return load_from_checkpoint(student, tmp_path, '', theirs, 'here')

    assert_bitwise(load()['params'], theirs['params'])
    assert_bitwise(load(model='tests.elsewhere:Model')['params'], theirs['params'])  # a model that is not ours
    with pytest.raises(UserError, match=r'here: .* has rotary_base=5000\.0, but this model has rotary_base=10000\.0'):
        load(rotary_base=5000.0)
    (tmp_path / 'config.json').write_text('damaged')
    assert_bitwise(load_from_checkpoint(Network('student', module, ()), tmp_path, '', theirs, 'here'), load())


def test_a_frozen_network_that_normalises_images_otherwise_than_its_run_is_told(teachers, caplog):
    one, same = {'mean': 0.5, 'std': 0.1}, Normalize((0.5,), (0.1,))

    def said(trained, here, update='frozen'):
        caplog.clear()
        write_checked(teachers / 'config.json', {'networks': {'net': {'model': 'mlp', **trained}}})
        network = dataclasses.replace(NETWORK, normalize=here, update=update)
        load_from_checkpoint(network, teachers, 'net', variables(0) | {'batch_stats': {'mean': jnp.zeros(3)}}, 'here')
        return caplog.text

    assert "here was trained with normalize={'mean': 0.5, 'std': 0.1} and" in said({'normalize': one}, None)
    assert "here was trained without 'normalize' and normalises images otherwise" in said({}, same)
    assert said({'normalize': one}, same) == said({}, None) == said({'normalize': one}, None, update='sgd') == ''


def source():
    split = {'image': np.zeros((6, 5), np.float32), 'label': np.arange(6) % 3}
    return Source(split, split, 3)


def test_networks_with_an_init_are_loaded_and_weights_that_are_known_are_not_read_again(tmp_path, assert_bitwise):
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(state(5, a=variables(1), b=variables(2, width=6)), position(5))
    checkpoints.close()
    small = {'model': 'mlp', 'hidden': (4,), 'num_classes': 3}
    networks = {
        'narrow': {**small, 'update': 'frozen', 'init': 'run:first/a'},
        'wide': {**small, 'hidden': (6,), 'update': 'frozen', 'init': 'run:first/b'},
        'student': small,
    }
    hard = {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}
    config = {
        'data': {'source': source}, 'batch_size': 2, 'epochs': 1, 'optimizer': {'learning_rate': 0.1},
        'networks': networks, 'terms': {'hard': hard},
    }  # fmt: skip
    prepared, known = prepare_run(config, 0, 'here'), {}
    loaded = load_initial_weights(prepared, {'first': tmp_path}, known)
    assert set(loaded) == {'narrow', 'wide'}
    assert_bitwise(loaded['narrow'], variables(1))
    assert_bitwise(loaded['wide'], variables(2, width=6))
    shutil.rmtree(tmp_path / 'checkpoints')
    assert_bitwise(load_initial_weights(prepared, {'first': tmp_path}, known), loaded)
    with pytest.raises(UserError, match=r"here, network 'narrow': .* holds no checkpoints to start from"):
        load_initial_weights(prepared, {'first': tmp_path})
