"""Where arrays are placed. This depends only on shapes, so the devices here are described but not present."""

import types

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from kd_jax.config.errors import UserError
from kd_jax.core.initial_state import init_state
from kd_jax.core.network import Network
from kd_jax.core.placement import frozen_sharding, state_sharding, variables_sharding
from kd_jax.devices.mesh import AXES, batch_sharding, check_batch_size, make_mesh
from kd_jax.prepare.parse_recipe import parse_recipe

BATCH = {'image': jax.ShapeDtypeStruct((8, 96), jnp.float32), 'label': jax.ShapeDtypeStruct((8,), jnp.int32)}


def mesh(data=1, fsdp=1, stack=1):
    return AbstractMesh((data, fsdp, stack), AXES)


def devices(count, processes=1):
    return [types.SimpleNamespace(id=i, process_index=i * processes // count) for i in range(count)]


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


def test_a_batch_is_split_over_data_and_fsdp_together():
    assert batch_sharding(mesh(data=2, fsdp=4)).shard_shape((16, 5)) == (2, 5)
    assert batch_sharding(mesh(data=2, fsdp=2, stack=2), lead=1).shard_shape((3, 16, 5)) == (3, 4, 5)


@pytest.mark.parametrize(
    ('config', 'count', 'said'),
    [
        ({'model': 2}, 8, "the run.mesh: there is no axis 'model'. Known: data, fsdp, stack."),
        ({'dta': 2}, 8, "Did you mean 'data'?"),
        ({'data': 0}, 8, 'the run.mesh.data is 0, but it must be a number of devices, or -1'),
        ({'data': 2.0}, 8, 'the run.mesh.data is 2.0'),
        ({'data': True}, 8, 'the run.mesh.data is True'),
        ({'data': -1, 'fsdp': -1}, 8, 'only one axis can take all remaining devices'),
        ({'fsdp': 3}, 8, 'the run.mesh (data=-1, fsdp=3, stack=1) does not fit 8 devices'),
        ({'data': 4, 'fsdp': 4}, 8, '(data=4, fsdp=4, stack=1) does not fit 8 devices'),
        ({'data': 2}, 1, 'does not fit 1 device:'),
    ],
)
def test_a_mesh_that_does_not_fit_is_one_sentence(config, count, said):
    with pytest.raises(UserError) as error:
        make_mesh(config, devices(count), 'the run')
    assert said in str(error.value)


def test_no_process_may_be_left_without_work():
    with pytest.raises(UserError, match='uses 2 of 4 devices, but with several processes it must use all'):
        make_mesh({'data': 2}, devices(4, processes=2), 'the run')


def test_a_batch_that_devices_cannot_share_evenly_is_one_sentence():
    check_batch_size(mesh(data=2, fsdp=2, stack=3), 12, 'the run')
    with pytest.raises(UserError) as error:
        check_batch_size(mesh(data=2, fsdp=4), 26, 'the run')
    assert str(error.value) == (
        'the run: batch_size is 26, which the 8 devices of the mesh (data=2, fsdp=4) cannot share evenly: use '
        'batch_size=24 or batch_size=32, or a mesh that divides it, such as mesh.data=2.'
    )
    with pytest.raises(UserError, match='evenly: use batch_size=8, or a mesh'):
        check_batch_size(mesh(data=8), 3, 'the run')


def test_an_unknown_sharding_is_one_sentence():
    with pytest.raises(UserError, match=r"network 'a': there is no sharding 'fspd'. Did you mean 'fsdp'"):
        recipe_of(a={'sharding': 'fspd'})
