"""The transform in a run's config."""

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.config.references import RunReference
from kd_jax.prepare.parse_transform import parse_transform, with_network
from kd_jax.transforms.network_weights import NetworkWeights

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
