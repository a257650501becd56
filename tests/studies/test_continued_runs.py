"""Runs that are trained on for longer, as if from the beginning, and runs that are only measured again."""

import argparse
import copy

import pytest

from experiments import run
from experiments.changed_runs import outdated_runs
from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError
from kd_jax.studies.continued_runs import changed_runs, remove_outdated
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study, select_runs
from kd_jax.studies.workdir import Workdir
from tests.grouped_runs import assert_same_runs, execute
from tests.refusals import CONFIG
from tests.small_studies import begin, finish

pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')


def planned(epochs, **teacher):
    """A teacher with dropout and momentum, and its student; no number depends on the length of the run."""
    config, _ = load_config(CONFIG.removeprefix('--config='), [])
    for options in config['runs'].values():
        options['data'] |= {'examples': 100, 'valid': 50}
        options |= {'batch_size': 25, 'epochs': 1.0, 'checkpoint_seconds': 60}
    config['runs']['teacher']['optimizer']['learning_rate'] = 0.1
    config['runs']['teacher'] |= {'epochs': epochs, **teacher}
    return parse_study(copy.deepcopy({**config, 'group_runs': 'map'}), 'tiny')


@pytest.mark.usefixtures('settings_as_before')
def test_a_run_that_trains_on_ends_bit_for_bit_like_one_that_was_as_long_from_the_start(tmp_path):
    short, long = planned(1.0), planned(2.0)
    whole = execute(long, tmp_path / 'whole')
    workdir = execute(short, tmp_path / 'work')
    before = {each.id: workdir.result(each.id) for each in short.runs}
    changed = changed_runs(long, workdir, long.runs, prepare_study(long), fresh=False)
    assert changed == (['teacher-s0'], [], ['student-s0'])
    remove_outdated(long, workdir, changed)
    seen = []
    execute(long, workdir.path, lambda runs, done, *_: seen.append((runs[0].id, done)))
    assert [min(done for name, done in seen if name == each.id) for each in long.runs] == [4, 0]
    assert_same_runs(workdir, whole, long.runs)
    for each in long.runs:
        assert [workdir.result(each.id)[key] for key in ('steps', 'epochs', 'best')] == [
            whole.result(each.id)[key] for key in ('steps', 'epochs', 'best')
        ]
    assert workdir.result('student-s0')['last'] != before['student-s0']['last']
    assert not changed_runs(long, workdir, long.runs, prepare_study(long), fresh=False).ids


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (
            {'optimizer': {'learning_rate': {'schedule': 'cosine', 'peak': 0.1}}},
            'teacher-s0 in {} has 1 epochs and cannot be trained for longer, because optimizer.learning_rate is a '
            'schedule over the length of the run. Use --fresh to restart it and the runs that need it, or another '
            '--workdir.',
        ),
        ({'eval_every': 0.75}, 'because it ended between two evaluations (eval_every is 0.75)'),
    ],
)
def test_a_run_whose_states_would_differ_is_refused_and_says_why(options, said, workdir):
    begin(workdir, planned(1.0, **options))
    after = planned(2.0, **options)
    with pytest.raises(UserError) as error:
        changed_runs(after, workdir, after.runs, prepare_study(after), fresh=False)
    assert said.format(workdir.path) in str(error.value)


def assert_refused(after, workdir, prepared_runs=None):
    with pytest.raises(
        UserError, match=r'was made with another config or other data: 1 of the runs differ, teacher-s0'
    ):
        changed_runs(after, workdir, after.runs, prepared_runs or prepare_study(after), fresh=False)


def test_fewer_epochs_and_any_other_change_are_not_longer(workdir):
    begin(workdir, planned(2.0))
    for after in (planned(1.0), planned(3.0, batch_size=10), planned(2.0, batch_size=10)):
        assert_refused(after, workdir)
        again = changed_runs(after, workdir, after.runs, prepare_study(after), fresh=True)
        assert again == ([], [], ['teacher-s0', 'student-s0'])


BIAS = dict(analysis='class_bias', logits='teacher.logits', labels='batch.label', classes=(3,))


@pytest.mark.usefixtures('settings_as_before')
def test_another_analysis_is_computed_from_the_last_checkpoint_as_if_it_had_been_asked_for_from_the_start(tmp_path):
    before, after = planned(1.0), planned(1.0, analyses={'bias': BIAS})
    whole, workdir = execute(after, tmp_path / 'whole'), execute(before, tmp_path / 'work')
    assert workdir.result('teacher-s0')['analyses'] == {}
    changed = changed_runs(after, workdir, after.runs, prepare_study(after), fresh=False)
    assert changed == ([], ['teacher-s0'], [])
    remove_outdated(after, workdir, changed)
    assert workdir.result('student-s0') is not None
    seen = []
    execute(after, workdir.path, lambda runs, done, *_: seen.append((runs[0].id, done)))
    assert seen == [('teacher-s0', 4)]  # nothing is trained
    assert_same_runs(workdir, whole, after.runs)
    assert workdir.result('teacher-s0')['analyses'] == whole.result('teacher-s0')['analyses'] != {}
    assert not changed_runs(after, workdir, after.runs, prepare_study(after), fresh=False).ids


def test_a_run_is_not_measured_again_without_its_checkpoint_or_with_another_change(workdir):
    begin(workdir, planned(1.0))
    for options in ({'batch_size': 10}, {'evaluate': {'teacher': {'logits': 'teacher.logits'}}}):
        after = planned(1.0, analyses={'bias': BIAS}, **options)
        assert_refused(after, workdir)
    after = planned(1.0, analyses={'bias': BIAS})
    assert changed_runs(after, workdir, after.runs, prepare_study(after), fresh=False).measured == ['teacher-s0']
    finish(workdir, 'teacher-s0', 'student-s0')
    (workdir.directory('teacher-s0') / 'checkpoints' / '7').rmdir()
    assert_refused(after, workdir)
    assert_refused(planned(2.0), workdir)


@pytest.mark.parametrize(
    ('read', 'kept'),
    [
        ('result:teacher.analyses.bias.tuned_on_test.offset', []),
        ('result:teacher.analyses', []),
        ('result:teacher.analyses.other.tuned_on_test.offset', ['teacher-s0']),
        ('result:teacher.steps', ['teacher-s0']),
    ],
)
def test_a_run_is_not_measured_again_if_another_run_reads_the_analysis_that_changed(read, kept, workdir):
    def asked(classes):
        study = planned(1.0, analyses={'bias': {**BIAS, 'classes': classes}, 'other': BIAS})
        study.runs[1].config['data']['label_noise'] = read
        return study

    begin(workdir, asked((3,)))
    after = asked((4,))
    prepared = {'teacher': prepare_study(planned(1.0))['teacher']}
    if kept:
        assert changed_runs(after, workdir, after.runs, prepared, fresh=False).measured == kept
    else:
        assert_refused(after, workdir, prepared)


def test_a_run_that_is_longer_and_needs_a_longer_one_starts_anew(workdir):
    before, after = planned(1.0), planned(2.0)
    after.runs[1].config['epochs'] = 2.0
    begin(workdir, before)
    prepared = dict.fromkeys(('teacher', 'student'), prepare_study(before)['teacher'])
    assert changed_runs(after, workdir, after.runs, prepared, fresh=False) == (['teacher-s0'], [], ['student-s0'])


def command(capsys, workdir, after, *, only=(), fresh=False):
    """The words of `--plan` below its table, and those of the command, which removes what it names."""
    options = argparse.Namespace(only=list(only), fresh=fresh, executor='in_process', workers=2)
    arguments = (after, select_runs(after, only, workdir), prepare_study(after), Workdir(workdir.path), options)
    run.show_plan(*arguments)
    table, _, words = capsys.readouterr().out.partition(' runs to do')
    run.renew(after, Workdir(workdir.path), *outdated_runs(*arguments))
    will = ' '.join(words.split()).rpartition('.errors')[2].strip()  # behind the end of the caption
    return table, will, ' '.join(capsys.readouterr().out.split())


def test_the_command_says_what_it_measures_again(workdir, capsys):
    after = planned(1.0, analyses={'bias': BIAS})
    begin(workdir, planned(1.0))
    finish(workdir, 'teacher-s0', 'student-s0')
    table, will, said = command(capsys, workdir, after)
    assert will == said == 'Only analyses or samples have changed. Continue from the last checkpoint: teacher-s0.'
    assert 'student-s0 ' in table
    assert table.endswith('1 of 2')
    assert [workdir.result(each.id) is None for each in after.runs] == [True, False]


def test_the_command_says_what_it_trains_on_and_what_anew(workdir, capsys):
    after = planned(2.0)
    begin(workdir, planned(1.0))
    finish(workdir, 'teacher-s0', 'student-s0')
    table, will, said = command(capsys, workdir, after)
    assert (
        will
        == said
        == (
            'epochs was raised. Continue from the last checkpoint: teacher-s0. Start anew, because they need these: '
            'student-s0.'
        )
    )
    rows = {line.split()[0]: line for line in table.splitlines() if '-s0' in line}
    assert ' begun' in rows['teacher-s0']
    assert ' to do' in rows['student-s0']
    assert table.endswith('2 of 2')
    assert [workdir.result(each.id) for each in after.runs] == [None, None]
    assert (workdir.directory('teacher-s0') / 'checkpoints' / '7').exists()
    assert not (workdir.directory('student-s0') / 'checkpoints').exists()


@pytest.mark.parametrize(('fresh', 'first'), [
    (False, 'epochs was raised. Continue from the last checkpoint: teacher-s0.'),
    (True, 'Start anew (--fresh): teacher-s0.'),
])  # fmt: skip
def test_a_run_that_is_removed_and_not_trained_is_named(fresh, first, workdir, capsys):
    after = planned(2.0)
    begin(workdir, planned(1.0))
    finish(workdir, 'teacher-s0', 'student-s0')
    table, will, said = command(capsys, workdir, after, only=['teacher'], fresh=fresh)
    assert will == said == f'{first} Remove and not train, because --only leaves them out: student-s0.'
    assert 'student' not in table
    assert table.endswith('1 of 1')
    assert workdir.result('student-s0') is None


def test_a_run_that_is_needed_and_trained_again_stands_in_the_plan_of_the_one_that_needs_it(workdir, capsys):
    begin(workdir, planned(1.0))
    finish(workdir, 'teacher-s0', 'student-s0')
    table, _, _ = command(capsys, workdir, planned(2.0), only=['student'])
    assert table.endswith('2 of 2')
    assert 'teacher-s0' in table


def test_the_plan_says_that_another_config_needs_fresh(workdir, capsys):
    begin(workdir, planned(1.0))
    same, other = planned(1.0), planned(1.0, batch_size=10)
    assert command(capsys, workdir, same)[1:] == ('', '')
    assert command(capsys, workdir, same, fresh=True)[1:] == ('Nothing has changed: no run would restart.', '')
    options = argparse.Namespace(only=[], fresh=False, executor='in_process', workers=2)
    run.show_plan(other, other.runs, prepare_study(other), workdir, options)
    said = ' '.join(capsys.readouterr().out.split())
    assert 'teacher-s0 in batch_size: ' in said
    assert 'Use --fresh' in said
