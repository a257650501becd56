"""Published figures of chips, and names of slices."""

import math
import os

import pytest

from kd_jax.config.errors import UserError
from kd_jax.scale import tpu_chips
from kd_jax.scale.tpu_chips import parse_topology


@pytest.mark.parametrize(
    ('name', 'count', 'peak'),
    # The peak of a whole pod from the same pages, in bfloat16 operations per second.
    [('v4', 4096, 1.1e18), ('v5e', 256, 50.63e15), ('v6e', 256, 234.9e15)],
)
def test_chips_of_a_pod_add_up_to_the_published_peak_of_the_pod(name, count, peak):
    assert count * tpu_chips.CHIPS[name].flops == pytest.approx(peak, rel=0.03)


def test_a_slice_has_as_many_chips_as_its_sides_multiply_to():
    assert parse_topology('v5e:4x8').chips == 32
    assert parse_topology('v5p:4x4x8').chips == 128
    assert parse_topology(' TPU7X:2x2x1 ').name == 'tpu7x:2x2x1'
    assert parse_topology('cpu:8').chips == 8


def test_every_compared_slice_exists_and_the_largest_of_each_chip_has_256_chips():
    sizes = {}
    for name in tpu_chips.COMPARED:
        topology = parse_topology(name)
        sizes.setdefault(name.partition(':')[0], []).append(topology.chips)
    assert set(sizes) == set(tpu_chips.CHIPS)
    assert all(max(counts) == 256 and sorted(counts) == counts for counts in sizes.values())


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('v5e:3x3', 'there is no such slice of v5e; its slices are 1x1, 2x2, 2x4'),
        ('v5e:32x32', 'there is no such slice of v5e'),
        ('v5e:2x2x1', 'there is no such slice of v5e'),
        ('v5p:4x8x4', 'multiples of 4 in ascending order up to 6144 chips'),
        ('v4:16x20x28', 'there is no such slice of v4'),
        ('v5p:0x4x4', 'there is no such slice of v5p'),
        ('v5s:2x2', "there is no chip 'v5s'. Did you mean 'v5"),
        ('v5e', "a topology looks like 'v5e:4x4'"),
        ('v5e:', "a topology looks like 'v5e:4x4'"),
        ('v5e:2x', "a topology looks like 'v5e:4x4'"),
        ('cpu:2x2', "write 'cpu:8'"),
        ('cpu:0', "write 'cpu:8'"),
        ('cpu:1000000', 'no slice of a TPU has more than 9216 chips; write at most cpu:9216'),
    ],
)
def test_a_slice_that_does_not_exist_is_one_sentence(text, message):
    with pytest.raises(UserError) as error:
        parse_topology(text)
    assert message in str(error.value)
    assert text in str(error.value)
    assert '\n' not in str(error.value)


def test_large_slices_of_a_3d_torus_are_made_of_cubes():
    assert parse_topology('v5p:16x16x24').chips == 6144
    assert math.prod(parse_topology('tpu7x:12x16x48').shape) == 9216


@pytest.mark.parametrize(
    ('chosen', 'accelerators', 'installed', 'left'),
    [
        (None, [], True, 'cpu'),
        ('tpu', [], True, 'tpu'),
        (None, ['/dev/accel0'], True, None),
        (None, [], False, None),
    ],
)
def test_libtpu_is_left_out_only_where_it_can_serve_nothing(chosen, accelerators, installed, left, monkeypatch):
    monkeypatch.setenv('JAX_PLATFORMS', chosen or '')
    if chosen is None:
        monkeypatch.delenv('JAX_PLATFORMS')
    updates = {}
    monkeypatch.setattr(tpu_chips.glob, 'glob', lambda pattern: accelerators)
    monkeypatch.setattr(tpu_chips.importlib.util, 'find_spec', lambda name: object() if installed else None)
    monkeypatch.setattr(tpu_chips.jax.config, 'update', lambda name, value: updates.update({name: value}))
    tpu_chips.leave_out_libtpu()
    assert os.environ.get('JAX_PLATFORMS') == left
    assert updates == ({'jax_platforms': 'cpu'} if (chosen, left) == (None, 'cpu') else {})
