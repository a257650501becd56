"""The transform in a run's config."""

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.config.references import RunReference
from kd_jax.prepare.parse_transform import network_of_run, parse_transform, with_network
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.transforms import average_weights
from kd_jax.transforms.network_weights import NetworkWeights
from tests.text_study import DECODER

RNG = np.random.default_rng(0)


def parsed(name='average_weights', of=('run:a/net', 'run:b'), **options):
    return parse_transform({'transform': {'name': name, 'of': of, **options}}, 'here')


def network(hidden=4):
    params = {
        'dense1': {'kernel': RNG.normal(size=(3, hidden)), 'bias': np.zeros(hidden)},
        'head': {'kernel': np.zeros((hidden, 2)), 'bias': np.zeros(2)},
    }
    return NetworkWeights('net', "run 'a'", {'params': params}, {'model': 'mlp', 'hidden': (hidden,)})


def test_networks_seeds_and_options():
    made = parsed(weights=[1.0, 2.0, 3.0, 4.0], seeds=[0, 2])
    assert made.of == (RunReference('a', 'net'), RunReference('b'))
    assert made.seeds == (0, 2)
    assert made.options == {'weights': (1.0, 2.0, 3.0, 4.0)}


def test_shapes_that_follow_from_options_are_known_before():
    made = parsed('tests.own_transforms:first_units', of='run:a', keep=3).shapes([network()])
    assert made.options['hidden'] == (3,)
    assert made.variables['params']['head']['kernel'].shape == (3, 2)


def test_shapes_that_follow_from_weights_are_not_known_before():
    transform = parsed('tests.own_transforms:strongest_units', of=['run:a'])
    assert transform.shapes([network()]) is None
    before = network()
    made = transform.apply([before])
    norms = np.linalg.norm(before.variables['params']['dense1']['kernel'], axis=0)
    assert made.options['hidden'] == (np.sum(norms > norms.mean()),)


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'name': 'average_weigths'}, "no transform 'average_weigths'. Did you mean 'average_weights'?"),
        ({'name': 'tests.own_transforms:nothing'}, "transform 'tests.own_transforms:nothing' cannot be imported"),
        ({'weigths': (1.0, 2.0)}, "average_weights takes no 'weigths'. Did you mean 'weights'?"),
        ({'of': ()}, "of is (), but it must be 'run:NAME/NETWORK' or a list of such names"),
        ({'of': ['run:a', 'teacher']}, "of is ['run:a', 'teacher'], but it must be"),
        ({'of': 3}, 'of is 3, but it must be'),
        ({'name': 'tests.own_transforms:first_units', 'of': 'run:a'}, 'first_units needs keep'),
        ({'name': 'tests.own_transforms:first_units', 'of': 'run:a', 'keep': 0.5}, 'keep is 0.5, but it must be a'),
        ({'name': 'tests.own_transforms:strongest_units'}, 'strongest_units does not take 2 networks'),
        ({'name': 'tests.own_transforms:strongest_units', 'of': 'run:a', 'seeds': [0, 1]}, 'not take 2 networks'),
    ],
)
def test_a_mistake_is_one_sentence(options, said):
    with pytest.raises(UserError) as error:
        parsed(**options)
    assert str(error.value).startswith('here, transform')
    assert said in str(error.value)


def test_a_function_that_makes_no_network_is_named():
    with pytest.raises(UserError, match=r'no_network returns .*, not NetworkWeights'):
        parsed('tests.own_transforms:no_network', of='run:a').apply([network()])


def test_only_frozen_networks_stand_beside_the_one_that_is_made():
    frozen = {'teacher': {'model': 'cnn', 'update': 'frozen'}}
    assert with_network({'networks': frozen}, 'net', {'model': 'mlp'}, 'here') == {
        'networks': {**frozen, 'net': {'model': 'mlp'}}
    }
    with pytest.raises(UserError, match="network 'peer' is to be trained"):
        with_network({'networks': {'peer': {'model': 'mlp'}}}, 'net', {}, 'here')
    with pytest.raises(UserError, match="network 'net' has the name of the network that the transform makes"):
        with_network({'networks': {'net': {'update': 'frozen'}}}, 'net', {}, 'here')


def decoder(documents, name, **options):
    """A decoder of a run as a transform reads it, with shapes for weights."""
    config = {
        'data': {'source': 'text', 'documents': str(documents), 'length': 16},
        'networks': {'student': {**DECODER, 'input': 'batch.tokens', **options}},
        'terms': {'words': {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}},
        'batch_size': 8, 'epochs': 1, 'optimizer': {'learning_rate': 0.1},
    }  # fmt: skip
    prepared = prepare_run(config, 0, f"run '{name}'")
    return network_of_run(prepared, RunReference(name), 1, 'here')


@pytest.fixture(scope='module')
def documents(tmp_path_factory):
    path = tmp_path_factory.mktemp('documents') / 'a.jsonl'
    path.write_text('{"text": "abcdefgh"}\n' * 40)
    return path


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'heads': 4}, 'heads is 2 in .* and 4 in'),
        ({'rotary_base': 500.0}, 'rotary_base is 10000.0 in .* and 500.0 in'),
        ({'norm_epsilon': 1e-6}, 'norm_epsilon is 1e-05 in .* and 1e-06 in'),
        ({'window': 64}, 'window is 32 in .* and 64 in'),
    ],
)
def test_networks_of_equal_shapes_that_compute_something_else_are_not_averaged(documents, options, said):
    one, other = decoder(documents, 'a'), decoder(documents, 'b', **options)
    with pytest.raises(UserError, match=f"the networks to average must be alike, but {said} run 'b'"):
        average_weights(one, other)


def test_an_option_that_has_its_default_is_like_one_that_is_left_out(documents):
    alike = [decoder(documents, 'a'), decoder(documents, 'b', rotary_base=10000, kv_heads=0)]
    made = parsed().shapes(alike)
    assert made is not None
    assert made.settings['rotary_base'] == 10000.0
