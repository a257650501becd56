"""Tests of groups of runs: runs that are trained as one program end as they end alone."""

import dataclasses
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies import run_groups
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.run_groups import data_bytes, partition_runs, state_bytes
from kd_jax.studies.workdir import Workdir
from kd_jax.training import active_run, vmap_or_map
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.stacked_runs import BATCHINGS
from kd_jax.training.stop_signals import Preempted
from tests.finished_runs import final_state
from tests.grouped_runs import assert_same_runs, execute, of, planned
from tests.train_one import prepare_one

# `final_state` reads checkpoints without expected shapes.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The work directory of the study with each run trained alone."""
    return execute(planned(False), tmp_path_factory.mktemp('alone'))


@pytest.fixture
def taught(alone, tmp_path):
    """A work directory in which the teachers are finished."""
    for seed in range(2):
        shutil.copytree(alone.directory(f'teacher-s{seed}'), Workdir(tmp_path).directory(f'teacher-s{seed}'))
    (tmp_path / 'results').mkdir()
    for path in (alone.path / 'results').glob('teacher-*'):
        shutil.copy(path, tmp_path / 'results')
    return tmp_path


def stopping_at(step):
    def progress(together, done, *_):
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return progress


def grouped(workdir, runs):
    return [workdir.result(run.id)['grouped'] for run in runs]


@pytest.mark.parametrize('seeds', [(0, 1), (0,)])
def test_runs_grouped_by_vmap_are_the_runs_alone_to_rounding(seeds, alone, taught):
    """Runs of one seed share their batches and their teacher; these are not stacked."""
    plan = planned('vmap')
    runs = [run for run in of(plan, 'cold', 'hot') if run.seed in seeds]
    workdir = execute(plan, taught, runs=runs)
    assert_same_runs(workdir, alone, runs, rtol=2e-3, atol=2e-4)
    assert grouped(workdir, runs) == [[{'from_step': 0, 'by': 'vmap', 'runs': len(runs)}]] * len(runs)


def test_a_group_that_was_stopped_goes_on_bit_for_bit_as_it_was(taught, tmp_path_factory):
    plan = planned('vmap')
    runs = of(plan, 'cold')
    whole = execute(plan, shutil.copytree(taught, tmp_path_factory.mktemp('whole') / 'work'), runs=runs)
    with pytest.raises(Preempted, match="run 'cold' and 1 more of its group stopped at step 5 of 10"):
        execute(plan, taught, stopping_at(5), runs)
    assert [int(final_state(Workdir(taught).directory(run.id))['step']) for run in runs] == [5, 5]
    assert_same_runs(execute(plan, taught, runs=runs), whole, runs)


@pytest.mark.parametrize(('saves', 'goes_on_at'), [(1, 0), (3, 5)])
def test_a_group_killed_between_its_checkpoints_goes_on_as_it_was(saves, goes_on_at, alone, tmp_path, monkeypatch):
    plan, left, begun = planned('map'), list(range(saves)), []
    runs = of(plan, 'teacher')

    def save(self, *arguments):
        if not left:
            raise ZeroDivisionError
        left.pop()
        Checkpoints.save(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(active_run, 'Checkpoints', type('Killed', (Checkpoints,), {'save': save}))
        with pytest.raises(ZeroDivisionError):
            execute(plan, tmp_path, runs=runs)
    workdir = execute(plan, tmp_path, lambda _, done, *__: begun.append(done), runs)
    assert begun == [*range(goes_on_at, 10, 5), 10]
    assert grouped(workdir, runs) == [[{'from_step': 0, 'by': 'map', 'runs': 2}]] * 2
    assert_same_runs(workdir, alone, runs)


def test_a_run_that_was_ahead_alone_is_trained_apart_and_all_end_the_same(alone, tmp_path):
    runs, begun = of(planned('map'), 'teacher'), []
    with pytest.raises(Preempted, match="run 'teacher' stopped at step 5 of 10"):
        execute(planned(False), tmp_path, stopping_at(5), runs[:1])
    workdir = execute(planned('map'), tmp_path, lambda _, done, *__: begun.append(done), runs)
    assert begun == [5, 10, 0, 5, 10]
    assert grouped(workdir, runs) == [[], []]
    assert_same_runs(workdir, alone, runs)


def test_a_run_that_is_not_finite_or_cannot_begin_is_told_and_the_others_end(alone, taught, monkeypatch):
    plan = planned('map')
    runs = of(plan, 'cold', 'hot')
    for run in of(plan, 'hot'):
        run.config['optimizer']['learning_rate'] = 1e30
    shutil.rmtree(Workdir(taught).directory('teacher-s1') / 'checkpoints')
    with pytest.raises(UserError) as error:
        execute(plan, taught, runs=runs)
    first, *others = str(error.value).splitlines()
    # The first step moves every weight by 1e30. The message names the first step that saw it, not a later one.
    assert first.startswith("tiny: run 'hot': term 'hard' became non-finite at step 2 (epoch 0.40); ")
    missing = Workdir(taught).directory('teacher-s1')
    told = "tiny: run '{}', network 'teacher': {} holds no checkpoints to start from"
    assert [line.partition('; ')[0] for line in others] == [told.format(name, missing) for name in ('cold', 'hot')]
    assert [Workdir(taught).result(run.id) is not None for run in runs] == [run.id == 'cold-s0' for run in runs]
    assert_same_runs(Workdir(taught), alone, [run for run in runs if run.id == 'cold-s0'])


def test_auto_measures_once_and_a_group_that_goes_on_does_not_change_its_way(alone, tmp_path, monkeypatch):
    timed = []

    def measured(key, trial):
        timed.append([[(run(), times) for run, times in trial(by).parts] for by in BATCHINGS])
        return 'map'

    monkeypatch.setattr(vmap_or_map, 'record_path', lambda program: None)  # other tests record theirs
    monkeypatch.setattr(vmap_or_map, 'faster_of_both', measured)
    monkeypatch.setattr(vmap_or_map, 'SHORT', 2 * 5)  # the steps that are left for the resumed group
    plan = planned('auto')
    sizes = {split: len(a['id']) for split, a in prepare_study(plan)['teacher'].splits.arrays.items()}
    runs = of(plan, 'teacher')
    with pytest.raises(Preempted):
        execute(plan, tmp_path, stopping_at(5), runs)
    workdir = execute(plan, tmp_path, runs=runs)
    assert len(timed) == 1
    for (((states, _), steps), (evaluated, evaluations)), by in zip(timed[0], BATCHINGS, strict=True):
        np.testing.assert_array_equal(states.step, [vmap_or_map.TRIAL] * 2)
        assert steps == 10 / vmap_or_map.TRIAL, by
        counts = [own['test']['teacher']['count'] for own in evaluated]
        assert [count * evaluations for count in counts] == [2 * (sizes['valid'] + sizes['test']) + sizes['train']] * 2
    assert grouped(workdir, runs) == [[{'from_step': 0, 'by': 'map', 'runs': 2}]] * 2
    assert_same_runs(workdir, alone, runs)
    monkeypatch.setattr(vmap_or_map, 'SHORT', 2 * 10 + 1)
    execute(plan, tmp_path / 'short', runs=runs)
    assert len(timed) == 1


def test_a_group_is_bounded_by_the_bytes_of_its_states_and_data_and_split_evenly(monkeypatch):
    own, other = prepare_one(), prepare_one(seed=1)
    # 784 * 16 + 16 + 16 * 10 + 10 parameters and as many momenta, 4 bytes each, and 4 bytes for the step.
    assert state_bytes(own) == 2 * 12_730 * 4 + 4
    assert data_bytes(own) == 300 * (784 + 4 + 4)
    assert partition_runs([own] * 70, 'auto') == [list(range(35)), list(range(35, 70))]
    monkeypatch.setattr(run_groups, 'DATA_BYTES', 2 * data_bytes(own))
    assert partition_runs([own] * 5, 'auto') == [[0, 1, 2, 3, 4]]
    assert partition_runs([own, own, other, own, own], 'auto') == [[0, 1], [2], [3, 4]]
    monkeypatch.setattr(run_groups, 'STATE_BYTES', 4 * state_bytes(own) + 1)
    assert partition_runs([own] * 9, 'auto') == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert partition_runs([own] * 3, False) == [[0], [1], [2]]
    monkeypatch.setattr(jax, 'process_count', lambda: 2)
    assert partition_runs([own] * 2, 'vmap') == [[0], [1]]


def test_groups_of_runs_with_large_convolutions_on_cpus_are_small():
    small = prepare_one('teacher', "networks.teacher={'model': 'cnn', 'channels': (3,)}")
    large = dataclasses.replace(small, convolution_work=run_groups.CONVOLUTION_WORK // (2 * run_groups.CHUNK))
    assert partition_runs([small] * 3, 'auto') == [[0, 1, 2]]
    assert partition_runs([large] * 3, 'auto') == [[0, 1], [2]]
    larger = dataclasses.replace(small, convolution_work=run_groups.CONVOLUTION_WORK)
    assert partition_runs([larger] * 2, 'auto') == [[0], [1]]


def test_streamed_data_and_other_structures_are_not_grouped():
    streamed, wide = prepare_one('teacher', 'data.resident=False'), prepare_one('teacher', 'batch_size=30')
    assert partition_runs([streamed, streamed], 'auto') == [[0], [1]]
    assert partition_runs([prepare_one(), wide, prepare_one()], 'auto') == [[0, 2], [1]]
