"""Which parameters are split over the axis 'tensor'; that devices agree is tested on several (multidevice_decoders)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from kd_jax.devices.tensor_axis import axis_to_split, gather_parameters, parts_in_context
from tests.abstract_mesh import mesh

SPLIT = {'up/kernel': -1, 'down/kernel': -2, 'head': -2}


def test_a_parameter_is_found_by_the_last_names_of_its_path():
    tree = {'params': {'blocks': {'up': {'kernel': 0, 'bias': 0}, 'down': {'kernel': 0}}, 'head': 0, 'kernel': 0}}
    found = jax.tree.map_with_path(lambda path, _: axis_to_split(path, SPLIT), tree, is_leaf=lambda x: x == 0)
    blocks = {'up': {'kernel': -1, 'bias': None}, 'down': {'kernel': -2}}
    assert found == {'params': {'blocks': blocks, 'head': -2, 'kernel': None}}


def test_gathered_parameters_stay_split_over_tensor():
    tree = {'up': {'kernel': jnp.ones((3, 4, 6))}, 'norm': {'scale': jnp.ones(4)}}
    with jax.sharding.use_abstract_mesh(mesh(fsdp=2, tensor=2)):
        assert parts_in_context() == 2
        constraints = jax.make_jaxpr(lambda tree: gather_parameters(tree, SPLIT))(tree).eqns
    assert [one.params['sharding'].spec for one in constraints] == [P(None), P(None, None, 'tensor')]


def test_without_a_mesh_nothing_is_gathered():
    tree = {'up': {'kernel': np.ones((3, 4))}}
    assert parts_in_context() == 1
    assert gather_parameters(tree, SPLIT) is tree
