"""Meshes and how they divide a batch. The devices here are described but not present."""

import types

import pytest

from kd_jax.config.errors import UserError
from kd_jax.devices.mesh import batch_sharding, check_batch_size, make_mesh
from tests.abstract_mesh import mesh


def devices(count, processes=1):
    return [types.SimpleNamespace(id=i, process_index=i * processes // count) for i in range(count)]


def test_a_batch_is_split_over_data_and_fsdp_together():
    assert batch_sharding(mesh(data=2, fsdp=4)).shard_shape((16, 5)) == (2, 5)
    assert batch_sharding(mesh(data=2, fsdp=2, stack=2, tensor=2), lead=1).shard_shape((3, 16, 5)) == (3, 4, 5)


@pytest.mark.parametrize(
    ('config', 'count', 'said'),
    [
        ({'model': 2}, 8, "the run.mesh: there is no axis 'model'. Known: data, fsdp, stack, tensor."),
        ({'dta': 2}, 8, "Did you mean 'data'?"),
        ({'data': 0}, 8, 'the run.mesh.data is 0, but it must be a number of devices, or -1'),
        ({'data': 2.0}, 8, 'the run.mesh.data is 2.0'),
        ({'data': True}, 8, 'the run.mesh.data is True'),
        ({'data': -1, 'fsdp': -1}, 8, 'only one axis can take all remaining devices'),
        ({'fsdp': 3}, 8, 'the run.mesh (data=-1, fsdp=3, stack=1, tensor=1) does not fit 8 devices'),
        ({'data': 4, 'fsdp': 4}, 8, '(data=4, fsdp=4, stack=1, tensor=1) does not fit 8 devices'),
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
