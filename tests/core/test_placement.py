"""Where the arrays of networks are placed: which axis is split, and over what."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from kd_jax.config.errors import UserError
from kd_jax.core.initial_state import init_state
from kd_jax.core.network import Network
from kd_jax.core.placement import frozen_sharding, state_sharding, variables_sharding
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.abstract_mesh import mesh

BATCH = {'image': jax.ShapeDtypeStruct((8, 96), jnp.float32), 'label': jax.ShapeDtypeStruct((8,), jnp.int32)}


def recipe_of(**networks):
    mlp = {'model': 'mlp', 'hidden': (128,), 'num_classes': 10}
    optimizer = {'name': 'adam', 'learning_rate': 0.1}
    return parse_recipe({'networks': {n: mlp | options for n, options in networks.items()}, 'optimizer': optimizer})


def specs(recipe, mesh):
    """Returns the partition specs of the state and of the frozen networks."""
    state, frozen = jax.eval_shape(lambda: init_state(recipe, BATCH, seed=0))
    placed = state_sharding(recipe, mesh, state), frozen_sharding(recipe, mesh, frozen)
    return jax.tree.map(lambda own: own.spec, placed)


def test_fsdp_splits_the_largest_axis_of_parameters_and_of_their_moments_and_leaves_small_arrays_whole():
    state, frozen = specs(
        recipe_of(student={'sharding': 'fsdp'}, teacher={'update': 'frozen', 'sharding': 'fsdp'}), mesh(fsdp=4)
    )
    # 96 x 128 is split; 128 x 10 has 1280 elements and the bias 128.
    wanted = {
        'dense1': {'kernel': P(None, 'fsdp'), 'bias': P(None)},
        'head': {'kernel': P(None, None), 'bias': P(None)},
    }
    assert state.params['student'] == wanted
    assert frozen['teacher']['params'] == wanted
    adam = state.opt_state['student'][0][0]
    assert adam.mu == adam.nu == wanted
    assert state.step == state.key == adam.count == P()


def test_fsdp_takes_the_largest_axis_that_it_divides():
    network = Network('a', None, (), sharding='fsdp')
    sizes = [(96, 128), (96, 129), (97, 129), (4, 4, 512, 500), (64, 63)]
    shapes = [jax.ShapeDtypeStruct(size, jnp.float32) for size in sizes]
    placed = variables_sharding(network, mesh(data=2, fsdp=3), shapes)
    assert [p.spec for p in placed] == [
        P('fsdp', None),
        P(None, 'fsdp'),
        P(None, 'fsdp'),
        P(*[None] * 4),
        P(None, None),
    ]
    # 64 x 63 = 4032 < 4096 elements: small, although 3 divides 63.


def test_each_network_is_sharded_by_itself():
    state, frozen = specs(recipe_of(student={}, teacher={'update': 'frozen', 'sharding': 'fsdp'}), mesh(fsdp=2))
    assert state.params['student']['dense1']['kernel'] == P(None, None)
    assert frozen['teacher']['params']['dense1']['kernel'] == P(None, 'fsdp')


def test_copies_lie_on_the_stack_where_it_divides_them():
    recipe = recipe_of(four={'copies': 4, 'sharding': 'fsdp'}, three={'copies': 3})
    state, _ = specs(recipe, mesh(fsdp=2, stack=2))
    assert state.params['four']['dense1']['kernel'] == P('stack', None, 'fsdp')
    assert state.params['four']['head']['bias'] == P('stack', None)
    assert state.opt_state['four'][0][0].count == P('stack')
    assert state.params['three']['dense1']['kernel'] == P(None, None, None)


def test_a_decoder_is_split_over_tensor_by_heads_hidden_units_and_words_and_over_fsdp_along_another_axis():
    options = dict(vocabulary=128, width=64, layers=3, heads=8, head_dim=16, kv_heads=4, mlp_width=256, qkv_bias=True)
    net = {'model': 'decoder', **options, 'input': 'batch.tokens', 'sharding': 'fsdp'}
    recipe = parse_recipe({'networks': {'a': net}, 'optimizer': {'name': 'adam', 'learning_rate': 0.1}})
    batch = {'tokens': jax.ShapeDtypeStruct((8, 5), jnp.int32)}
    state, _ = jax.eval_shape(lambda: init_state(recipe, batch, seed=0))
    placed = jax.tree.map(lambda own: own.spec, state_sharding(recipe, mesh(fsdp=2, tensor=4), state))
    rows, columns = P(None, 'tensor', 'fsdp'), P(None, 'fsdp', 'tensor')
    wanted = {
        'attention_norm': {'scale': P(None, None)},
        'mlp_norm': {'scale': P(None, None)},
        'query': {'kernel': columns, 'bias': P(None, 'tensor')},
        'key': {'kernel': columns, 'bias': P(None, 'tensor')},
        'value': {'kernel': columns, 'bias': P(None, 'tensor')},
        'output': {'kernel': rows},
        'gate': {'kernel': columns},
        'up': {'kernel': columns},
        'down': {'kernel': rows},
    }
    assert placed.params['a']['blocks'] == wanted
    assert placed.opt_state['a'][0][0].mu['blocks'] == wanted
    assert placed.params['a']['embedding']['embedding'] == P('tensor', 'fsdp')
    # Eight devices cannot share four heads of keys and values; each has them all.
    more = jax.tree.map(lambda own: own.spec, state_sharding(recipe, mesh(fsdp=2, tensor=8), state))
    assert more.params['a']['blocks']['key'] == {'kernel': P(None, 'fsdp', None), 'bias': P(None, None)}
    assert more.params['a']['blocks']['query']['kernel'] == columns


def test_an_unknown_sharding_is_one_sentence():
    with pytest.raises(UserError, match=r"network 'a': there is no sharding 'fspd'. Did you mean 'fsdp'"):
        recipe_of(a={'sharding': 'fspd'})
