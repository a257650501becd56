"""The cost of a training step, by hand."""

import dataclasses
import re

import pytest

from kd_jax.scale.step_cost import Cost, remedy, verdict
from kd_jax.scale.tpu_chips import GIB, Chip, Topology

CHIP = Chip(hbm=100, flops=10.0, bandwidth=5.0, interconnect=2.0, axes=2, largest=4, source='')
SLICE = Topology('x', (2, 2), CHIP)
MEMORY = {'parameters': 1 * GIB, 'optimizer': 2 * GIB, 'teacher': 0.0, 'data': 0.5 * GIB}


def test_no_step_is_faster_than_the_slowest_part_of_the_chip():
    exchanged = {'all-reduce': (1, 6.0), 'all-gather': (2, 2.0)}
    cost = Cost(SLICE, {}, 50, 100, flops=20.0, accessed=40.0, moved=15.0, exchanged=exchanged)
    assert cost.bounds == {'compute': 2.0, 'memory': 3.0, 'interconnect': 4.0, 'traffic': 8.0}
    assert cost.seconds == 4.0
    assert cost.seconds_with_traffic == 8.0


def cost_of(needed, available, **memory):
    needed, available = (None if size is None else size * GIB for size in (needed, available))
    return Cost(SLICE, {**MEMORY, **memory}, needed, available)


def test_the_verdict_gives_the_share_of_the_memory():
    assert verdict(cost_of(4, 16), 8) == 'fits: 4.00 GiB of 16 GiB per chip (25%)'
    assert verdict(cost_of(15, 16), 8).endswith('(94%), which leaves little for evaluation')
    assert verdict(cost_of(4, None), 8) == 'compiles'
    assert verdict(cost_of(20, 16), 8).startswith('does not fit: it needs 20.00 GiB, but has 16 GiB per chip; ')
    assert verdict(cost_of(None, 16), 8).startswith('does not fit: it needs more memory, but has')


def test_what_does_not_fit_or_has_no_limit_has_no_time():
    assert cost_of(20, 16).seconds is None
    assert cost_of(4, None).fits is None
    assert cost_of(None, 16).fits is False
    assert dataclasses.replace(cost_of(4, None), topology=Topology('cpu', (1,), None)).bounds == {}


@pytest.mark.parametrize(
    ('memory', 'advice'),
    [
        ({}, 'activations take 16.50 GiB: use a batch_size below 8'),  # 20 - 1 - 2 - 0.5
        ({'activations': 17 * GIB}, "optimizer take 2.00 GiB: shard it: networks.NAME.sharding='fsdp'"),
        ({'teacher': 15 * GIB}, 'the teacher takes 15.00 GiB: shard it .* or record its outputs once'),
        ({'data': 18 * GIB}, 'data take 18.00 GiB: stream them: data.resident=False'),
    ],
)
def test_the_largest_part_is_named_with_what_reduces_it(memory, advice):
    assert re.match(advice, remedy(cost_of(20, 16, **memory), 8))
