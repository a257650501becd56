"""Executors on one machine: one process, or several that share its cores and may be killed or stopped."""

import multiprocessing
import signal

import pytest

from kd_jax.config.errors import MachineError, UserError
from kd_jax.studies import executors
from kd_jax.studies.executors import local
from kd_jax.studies.executors.scheduler import Outcome
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.workdir import Workdir
from kd_jax.training.run_log import read_history
from kd_jax.training.stop_signals import Preempted
from tests.small_studies import parsed
from tests.studies.executors.killed_workers import (
    assert_ends_alike,
    assert_went_on,
    execute,
    kill,
    once_saved,
    signal_self,
)

# `final_state` reads checkpoints without giving shardings.
pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')


def test_in_process_a_mistake_stops_what_depends_on_it_and_nothing_else(monkeypatch, tmp_path):
    def execute_group(planned, group, workdir, progress):
        if group[0].name == 'teacher':
            raise UserError('no good.')
        return [{}]

    monkeypatch.setattr(local, 'execute_group', execute_group)
    planned, done = parsed(), []
    with pytest.raises(UserError, match=r'no good.\nNot started.*: assistant-s0, student-s0'):
        executors.in_process()(
            planned, plan_groups(planned.runs), Workdir(tmp_path), None, lambda run, _: done.append(run.name)
        )
    assert done == ['peer']


def test_in_process_a_full_disk_ends_the_study_at_once(monkeypatch, tmp_path):
    tried = []

    def execute_group(planned, group, workdir, progress):
        tried.append(group[0].name)
        raise MachineError('the disk is full.')

    monkeypatch.setattr(local, 'execute_group', execute_group)
    planned = parsed()
    with pytest.raises(MachineError, match=r'^the disk is full.$'):
        executors.in_process()(planned, plan_groups(planned.runs), Workdir(tmp_path), None, None)
    assert len(tried) == 1


def test_a_worker_whose_parent_was_killed_ends_without_an_error(monkeypatch):
    def train_in_worker(assignment, report):
        report('runs', 1, 2, {})
        return Outcome('finished', [])

    monkeypatch.setattr(local, 'train_in_worker', train_in_worker)
    monkeypatch.setattr(local, '_stop_when_told', lambda pipe: None)
    monkeypatch.setattr(local.signal, 'signal', lambda *_: None)
    parent, pipe = multiprocessing.Pipe()
    parent.close()
    with pipe:
        local._worker(pipe, None)


@pytest.mark.parametrize(
    ('cores', 'workers', 'wanted'),
    [
        ([0, 1, 2, 3], 2, [{0, 1}, {2, 3}]),
        ([4, 5, 6, 7, 8], 2, [{4, 5}, {6, 7}]),
        ([0, 1], 3, [{0}, {1}, {0}]),
    ],
)
def test_workers_share_the_cores(cores, workers, wanted):
    assert local.shares(cores, workers) == wanted


@pytest.mark.parametrize(
    ('asked', 'said'),
    [
        ({'gpu': 1}, "here: run 'a' asks for gpu=1, but local worker processes cannot share accelerators"),
        ({'cpu': 10**6}, "here: run 'a' asks for cpu=1000000, but --workers=1 have "),
    ],
)
def test_processes_refuse_a_run_that_asks_for_more_than_there_is(asked, said, tmp_path):
    planned = parsed({'a': {'resources': asked}})
    with pytest.raises(UserError, match=said):
        executors.processes(1)(planned, plan_groups(planned.runs), Workdir(tmp_path), None, None)
    assert list(tmp_path.iterdir()) == []


def test_processes_go_on_after_a_worker_is_killed_and_end_bitwise_alike(uninterrupted, planned, tmp_path, caplog):
    with once_saved(tmp_path, lambda: kill(multiprocessing.active_children()[0].pid, tmp_path)) as seen:
        execute(executors.processes(1), planned, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        'teacher-s0: its worker was ended by SIGKILL; a new worker continues from the last checkpoint.'
    ]
    assert_went_on(tmp_path, *seen)
    assert_ends_alike(tmp_path, uninterrupted)
    assert not multiprocessing.active_children()


def test_a_signal_makes_processes_save_and_stop_and_the_same_call_goes_on(uninterrupted, planned, tmp_path):
    teacher = planned.runs[:1]
    with once_saved(tmp_path, lambda: signal_self(signal.SIGTERM)), pytest.raises(Preempted) as stopped:
        execute(executors.processes(2), planned, tmp_path, teacher)
    assert stopped.value.number == signal.SIGTERM
    assert not multiprocessing.active_children()
    assert not Workdir(tmp_path).result_path('teacher-s0').exists()
    history = read_history(tmp_path / 'runs' / 'teacher-s0' / 'metrics.jsonl')
    assert 0 < history[-1]['step'] < 72
    execute(executors.in_process(), planned, tmp_path, teacher)
    assert_ends_alike(tmp_path, uninterrupted, ['teacher-s0'])
