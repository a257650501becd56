"""The described options of networks are those that are parsed, with the defaults that are parsed."""

import dataclasses

from kd_jax.core.follow import Follow
from kd_jax.core.network import Network
from kd_jax.core.paths import Path
from kd_jax.prepare.network_options import FOLLOW_KEYS, NETWORK_OPTIONS, USE_KEYS
from kd_jax.prepare.parse_recipe import parse_recipe


def test_every_key_that_is_treated_apart_is_described():
    assert {*USE_KEYS, *FOLLOW_KEYS} <= set(NETWORK_OPTIONS)
    of_the_network = {'model', 'input', 'copies', 'normalize'}
    assert set(NETWORK_OPTIONS) == {*USE_KEYS, *FOLLOW_KEYS, *of_the_network}


def test_the_stated_defaults_are_those_of_a_network_whose_config_says_nothing():
    optimizer = dict(name='sgd', learning_rate=0.1)
    (network,) = parse_recipe({'networks': {'a': dict(model='mlp')}, 'terms': {}, 'optimizer': optimizer}).networks
    assert network.inputs == (Path.parse(NETWORK_OPTIONS['input'].default, ''),)
    fields = {field.name for field in dataclasses.fields(Network)} & set(NETWORK_OPTIONS)
    own = fields - {'model', 'of', 'optimizer', 'compute_dtype'}
    assert own == {'update', 'init', 'fresh', 'part', 'copies', 'own_batches', 'normalize', 'sharding', 'init_layers'}
    assert {key: getattr(network, key) or NETWORK_OPTIONS[key].default for key in own} == {
        key: NETWORK_OPTIONS[key].default for key in own
    }


def test_the_stated_defaults_of_following_are_those_of_a_rule_that_says_nothing():
    recipe = parse_recipe(
        {
            'networks': {
                'a': dict(model='mlp', optimizer=dict(name='sgd', learning_rate=0.1)),
                'b': dict(model='mlp', update='follow', of='a', rule='ema'),
            },
            'terms': {},
        }
    )
    assert recipe.network('b').follow == Follow(
        'ema', NETWORK_OPTIONS['every'].default, NETWORK_OPTIONS['broadcast'].default
    )
    assert recipe.hparams['follow']['b']['decay'] == NETWORK_OPTIONS['decay'].default
