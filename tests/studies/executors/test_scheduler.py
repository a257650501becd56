"""The order of groups, failures and retries, with fake workers, and what a group asks for."""

import pytest

from kd_jax.config.errors import MachineError, UserError
from kd_jax.studies import executors
from kd_jax.studies.executors.scheduler import Outcome, make_assignments, resources_of, run_workers
from kd_jax.studies.run_groups import plan_groups
from kd_jax.studies.workdir import Workdir
from tests.small_studies import parsed


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
    workers.drive(parsed())
    assert sorted(workers.done) == ['assistant', 'peer', 'student', 'teacher']
    assert workers.log.index('assistant') > workers.done.index('teacher')
    assert workers.done.index('student') == 3
    if room > 1:  # the peer does not depend on the other runs
        assert set(workers.log[:2]) == {'teacher', 'peer'}


def test_a_mistake_stops_what_depends_on_it_and_nothing_else():
    workers = Pretended({'teacher': [Outcome('failed', 'no good.')]})
    with pytest.raises(UserError) as error:
        workers.drive(parsed())
    assert workers.done == ['peer']
    first, second = str(error.value).splitlines()
    assert first == 'no good.'
    assert second == 'Not started, because they need a failed run: assistant-s0, student-s0.'


def test_a_mistake_in_one_run_of_a_group_stops_what_depends_on_that_run_and_nothing_else():
    planned, done = parsed(seeds=2), []
    groups = [tuple(run for run in planned.runs if run.name == name) for name in ('teacher', 'assistant', 'peer')]
    workers = Pretended({'teacher': [Outcome('finished', [{}, UserError('no good.')])]})
    workers.ends['peer'] = [Outcome('finished', [{}, {}])]
    with pytest.raises(UserError, match=r'^no good.\nNot started, because they need a failed run: assistant-s1.$'):
        run_workers(groups, workers.start, workers.poll, lambda run, _: done.append(run.id))
    assert sorted(done) == ['assistant-s0', 'peer-s0', 'peer-s1', 'teacher-s0']


def test_a_worker_that_dies_is_replaced_three_times(caplog):
    died = Outcome('died', 'was ended by SIGKILL')
    workers = Pretended({'teacher': [died] * 3})
    workers.drive(parsed())
    assert workers.log.count('teacher') == 4
    assert len(caplog.records) == 3
    workers = Pretended({'teacher': [died] * 4})
    with pytest.raises(UserError, match=r'^teacher-s0: 4 workers died, the last one was ended by SIGKILL; '):
        workers.drive(parsed())
    assert workers.log.count('teacher') == 4


def test_a_full_disk_ends_the_study_at_once():
    workers = Pretended({'peer': [Outcome('no machine', 'the disk is full.')]}, room=1)
    with pytest.raises(MachineError, match=r'^the disk is full.$'):
        workers.drive(parsed())
    assert workers.log == ['peer']  # the first to start, and no other after it


def test_an_error_of_ours_is_raised_with_its_traceback():
    with pytest.raises(RuntimeError, match=r'(?s)peer-s0.*ZeroDivisionError: here'):
        Pretended({'peer': [Outcome('crashed', 'Traceback ... ZeroDivisionError: here')]}).drive(parsed())


def test_a_group_asks_for_the_most_that_any_of_its_runs_does():
    runs = parsed({'a': {'resources': {'cpu': 4}}, 'b': {'resources': {'gpu': 0.5, 'tpu': 2}}}).runs
    assert resources_of(runs) == {'cpu': 4, 'gpu': 0.5, 'tpu': 2}
    assert resources_of(parsed({'a': {}}).runs) == {'cpu': 1, 'gpu': 0, 'tpu': 0}


def test_a_function_that_only_this_process_knows_is_refused(tmp_path):
    planned = parsed({'a': {'terms': {'own': {'loss': lambda x: x}}}})
    with pytest.raises(UserError, match="run 'a' holds an object that cannot be sent to another process"):
        executors.processes(1)(planned, plan_groups(planned.runs), Workdir(tmp_path), None, None)


def test_a_worker_knows_the_names_that_the_runs_of_other_groups_import(tmp_path):
    own = {'networks': {'net': {'model': 'own.nets:A'}}}
    plan = parsed({'a': own, 'b': {}})
    for made in make_assignments(plan, [(run,) for run in plan.runs], Workdir(tmp_path / 'work')):
        assert len(made.study.runs) == 1
        assert made.study.imports == {'own.nets:A'}
