"""Tests of executors with fake workers (order, failures, retries), and of the resources that executors refuse."""

import json
import pathlib

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies import executors
from kd_jax.studies.executors import local
from kd_jax.studies.executors.scheduler import Outcome, resources_of, run_workers
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.stale_runs import changed_leaves
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

CONFIG = str(pathlib.Path(__file__).parents[2] / 'tiny_config.py')
CHAIN = {
    'student': {'networks': {'teacher': {'init': 'run:assistant'}, 'other': {'init': 'run:peer'}}},
    'assistant': {'networks': {'teacher': {'init': 'run:teacher'}}},
    'peer': {},
    'teacher': {},
}


def chain(runs=CHAIN):
    return parse_study({'name': 'chain', 'runs': runs}, 'here')


class Pretended:
    """Fake workers that end at once, in the order of their start, as `ends` says; at most `room` at a time."""

    def __init__(self, ends, room=9):
        self.ends, self.room, self.live, self.log = {k: list(v) for k, v in ends.items()}, room, [], []

    def start(self, group):
        if len(self.live) == self.room:
            return False
        self.live.append(group)
        self.log.append(group[0].name)
        return True

    def poll(self, stopping):
        group, self.live = self.live[0], self.live[1:]
        outcome = next(iter(self.ends.get(group[0].name, [])), None)
        if outcome:
            self.ends[group[0].name].pop(0)
        return [(group, outcome or Outcome('finished', [{}]))]

    def drive(self, planned):
        done = []
        try:
            run_workers(plan_groups(planned.runs), self.start, self.poll, lambda run, _: done.append(run.name))
        finally:
            self.done = done


@pytest.mark.parametrize('room', [1, 2, 9])
def test_a_group_starts_when_what_it_needs_is_finished_and_not_before(room):
    workers = Pretended({}, room)
    workers.drive(chain())
    assert sorted(workers.done) == ['assistant', 'peer', 'student', 'teacher']
    assert workers.log.index('assistant') > workers.done.index('teacher')
    assert workers.done.index('student') == 3
    if room > 1:  # the peer does not depend on the other runs
        assert set(workers.log[:2]) == {'teacher', 'peer'}


def test_a_mistake_stops_what_depends_on_it_and_nothing_else():
    workers = Pretended({'teacher': [Outcome('failed', 'no good.')]})
    with pytest.raises(UserError) as error:
        workers.drive(chain())
    assert workers.done == ['peer']
    first, second = str(error.value).splitlines()
    assert first == 'no good.'
    assert second == 'Not started, because they need a failed run: assistant-s0, student-s0.'


def test_a_mistake_in_one_run_of_a_group_stops_what_depends_on_that_run_and_nothing_else():
    planned, done = parse_study({'name': 'chain', 'runs': CHAIN, 'seeds': 2}, 'here'), []
    groups = [tuple(run for run in planned.runs if run.name == name) for name in ('teacher', 'assistant', 'peer')]
    workers = Pretended({'teacher': [Outcome('finished', [{}, UserError('no good.')])]})
    workers.ends['peer'] = [Outcome('finished', [{}, {}])]
    with pytest.raises(UserError, match=r'^no good.\nNot started, because they need a failed run: assistant-s1.$'):
        run_workers(groups, workers.start, workers.poll, lambda run, _: done.append(run.id))
    assert sorted(done) == ['assistant-s0', 'peer-s0', 'peer-s1', 'teacher-s0']


def test_a_worker_that_dies_is_replaced_three_times(caplog):
    died = Outcome('died', 'was ended by SIGKILL')
    workers = Pretended({'teacher': [died] * 3})
    workers.drive(chain())
    assert workers.log.count('teacher') == 4
    assert len(caplog.records) == 3
    workers = Pretended({'teacher': [died] * 4})
    with pytest.raises(UserError, match=r'^teacher-s0: 4 workers died, the last one was ended by SIGKILL; '):
        workers.drive(chain())
    assert workers.log.count('teacher') == 4


def test_an_error_of_ours_is_raised_with_its_traceback():
    with pytest.raises(RuntimeError, match=r'(?s)peer-s0.*ZeroDivisionError: here'):
        Pretended({'peer': [Outcome('crashed', 'Traceback ... ZeroDivisionError: here')]}).drive(chain())


def test_in_process_a_mistake_stops_what_depends_on_it_and_nothing_else(monkeypatch, tmp_path):
    def execute_group(planned, group, workdir, progress):
        if group[0].name == 'teacher':
            raise UserError('no good.')
        return [{}]

    monkeypatch.setattr(local, 'execute_group', execute_group)
    planned, done = chain(), []
    with pytest.raises(UserError, match=r'no good.\nNot started.*: assistant-s0, student-s0'):
        executors.in_process()(
            planned, plan_groups(planned.runs), Workdir(tmp_path), None, lambda run, _: done.append(run.name)
        )
    assert done == ['peer']


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


def test_a_group_asks_for_the_most_that_any_of_its_runs_does():
    runs = chain({'a': {'resources': {'cpu': 4}}, 'b': {'resources': {'gpu': 0.5, 'tpu': 2}}}).runs
    assert resources_of(runs) == {'cpu': 4, 'gpu': 0.5, 'tpu': 2}
    assert resources_of(chain({'a': {}}).runs) == {'cpu': 1, 'gpu': 0, 'tpu': 0}


@pytest.mark.parametrize(
    ('asked', 'said'),
    [
        ({'gpu': 1}, "here: run 'a' asks for gpu=1, but local worker processes cannot share accelerators"),
        ({'cpu': 10**6}, "here: run 'a' asks for cpu=1000000, but --workers=1 have "),
    ],
)
def test_processes_refuse_a_run_that_asks_for_more_than_there_is(asked, said, tmp_path):
    planned = chain({'a': {'resources': asked}})
    with pytest.raises(UserError, match=said):
        executors.processes(1)(planned, plan_groups(planned.runs), Workdir(tmp_path), None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_function_that_only_this_process_knows_is_refused(tmp_path):
    planned = chain({'a': {'terms': {'own': {'loss': lambda x: x}}}})
    with pytest.raises(UserError, match="run 'a' holds an object that cannot be sent to another process"):
        executors.processes(1)(planned, plan_groups(planned.runs), Workdir(tmp_path), None, None)


def test_resources_are_no_part_of_the_experiment(tmp_path):
    before, after = chain({'a': {'resources': {'cpu': 1}}}), chain({'a': {'resources': {'cpu': 2}}})
    (tmp_path / 'runs' / 'a-s0').mkdir(parents=True)
    (tmp_path / 'runs' / 'a-s0' / 'config.json').write_text(json.dumps(before.runs[0].config))
    assert changed_leaves(after, Workdir(tmp_path), after.runs) == {}
