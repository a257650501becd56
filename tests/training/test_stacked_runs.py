"""Runs that are stacked end where they end alone, bit for bit; the arrays of a group of runs."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from kd_jax.devices.mesh import make_mesh
from kd_jax.training.stacked_runs import join_splits, share_equal_data, stacked_shardings
from tests.finished_runs import final_state
from tests.grouped_runs import assert_same_runs, execute, of, planned
from tests.train_one import prepare_one

# `final_state` reads checkpoints without expected shapes.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The study, one run after another."""
    return execute(planned(False), tmp_path_factory.mktemp('alone'))


def test_runs_grouped_by_map_are_the_runs_alone_bit_for_bit(alone, tmp_path):
    plan = planned('map')
    workdir = execute(plan, tmp_path)
    assert_same_runs(workdir, alone, plan.runs)
    for run in plan.runs:
        size = 2 if run.name == 'teacher' else 4
        assert workdir.result(run.id)['grouped'] == [{'from_step': 0, 'by': 'map', 'runs': size}]
        assert alone.result(run.id)['grouped'] == []
        assert list((workdir.directory(run.id) / 'tensorboard').iterdir())
    students = of(plan, 'cold', 'hot')
    heads = [
        np.asarray(final_state(workdir.directory(run.id))['params']['student']['head']['kernel']) for run in students
    ]
    assert all(np.any(a != b) for i, a in enumerate(heads) for b in heads[:i])


def test_equal_data_is_there_once():
    own, other = prepare_one(), prepare_one(seed=1)
    same = share_equal_data(prepare_one(), [other, own]).splits.arrays
    assert same['train'] is own.splits.arrays['train']
    assert same['test'] is other.splits.arrays['test']
    assert share_equal_data(other, [own]).splits.arrays['train'] is other.splits.arrays['train']


def test_equal_splits_are_joined_once_and_each_run_finds_its_own_examples():
    def split(first):
        return {'image': np.arange(first, first + 6).reshape(3, 2), 'id': np.arange(first, first + 3)}

    arrays, starts = join_splits([split(0), split(10), split(0)])
    assert starts == [0, 3, 0]
    for own, start in zip((0, 10, 0), starts, strict=True):
        jax.tree.map(np.testing.assert_array_equal, {k: a[start : start + 3] for k, a in arrays.items()}, split(own))
    assert len(arrays['id']) == 6


def test_runs_are_split_over_the_stack_axis_if_it_divides_them():
    mesh = make_mesh({'stack': 1}, jax.devices()[:1], 'here')
    own = NamedSharding(mesh, PartitionSpec('fsdp'))
    assert stacked_shardings({'a': own}, 4)['a'].spec == PartitionSpec('stack', 'fsdp')
    assert stacked_shardings({'a': own}, 4, frozenset(['a'])) == {'a': own}
    assert stacked_shardings({'a': own}, 1) == {'a': own}
    of_copies = NamedSharding(mesh, PartitionSpec('stack'))
    assert stacked_shardings(of_copies, 4).spec == PartitionSpec(None, 'stack')
