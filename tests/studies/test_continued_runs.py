"""Runs that are trained on for longer, as if from the beginning, and runs that are only measured again."""

import copy

import pytest

from experiments import run as command
from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError
from kd_jax.studies.continued_runs import continue_runs, continued_runs
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir
from tests.grouped_runs import assert_same_runs, execute
from tests.refusals import CONFIG
from tests.small_studies import begin, finish

pytestmark = pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')


def planned(epochs, **teacher):
    """A teacher with dropout and momentum, and its student; no number depends on the length of the run."""
    config, _ = load_config(CONFIG.removeprefix('--config='), [])
    for run in config['runs'].values():
        run['data'] |= {'examples': 100, 'valid': 50}
        run |= {'batch_size': 25, 'epochs': 1.0, 'checkpoint_seconds': 60}
    config['runs']['teacher']['optimizer']['learning_rate'] = 0.1
    config['runs']['teacher'] |= {'epochs': epochs, **teacher}
    return parse_study(copy.deepcopy({**config, 'group_runs': 'map'}), 'tiny')


@pytest.mark.usefixtures('settings_as_before')
def test_a_run_that_trains_on_ends_bit_for_bit_like_one_that_was_as_long_from_the_start(tmp_path):
    short, long = planned(1.0), planned(2.0)
    whole = execute(long, tmp_path / 'whole')
    workdir = execute(short, tmp_path / 'work')
    before = {run.id: workdir.result(run.id) for run in short.runs}
    continued = continued_runs(long, workdir, long.runs, prepare_study(long))
    assert continued == (['teacher-s0'], [])
    assert continue_runs(long, workdir, continued) == ['student-s0']
    seen = []
    execute(long, workdir.path, lambda runs, done, *_: seen.append((runs[0].id, done)))
    assert [min(done for name, done in seen if name == run.id) for run in long.runs] == [4, 0]
    assert_same_runs(workdir, whole, long.runs)
    for run in long.runs:
        assert [workdir.result(run.id)[key] for key in ('steps', 'epochs', 'best')] == [
            whole.result(run.id)[key] for key in ('steps', 'epochs', 'best')
        ]
    assert workdir.result('student-s0')['last'] != before['student-s0']['last']
    assert not continued_runs(long, workdir, long.runs, prepare_study(long))


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
        continued_runs(after, workdir, after.runs, prepare_study(after))
    assert said.format(workdir.path) in str(error.value)


def test_fewer_epochs_and_any_other_change_are_not_longer(workdir):
    begin(workdir, planned(2.0))
    for after in (planned(1.0), planned(3.0, batch_size=10), planned(2.0, batch_size=10)):
        assert not continued_runs(after, workdir, after.runs, prepare_study(after))


BIAS = dict(analysis='class_bias', logits='teacher.logits', labels='batch.label', classes=(3,))


@pytest.mark.usefixtures('settings_as_before')
def test_another_analysis_is_computed_from_the_last_checkpoint_as_if_it_had_been_asked_for_from_the_start(tmp_path):
    before, after = planned(1.0), planned(1.0, analyses={'bias': BIAS})
    whole, workdir = execute(after, tmp_path / 'whole'), execute(before, tmp_path / 'work')
    assert workdir.result('teacher-s0')['analyses'] == {}
    continued = continued_runs(after, workdir, after.runs, prepare_study(after))
    assert continued == ([], ['teacher-s0'])
    assert continue_runs(after, workdir, continued) == []
    assert workdir.result('student-s0') is not None
    seen = []
    execute(after, workdir.path, lambda runs, done, *_: seen.append((runs[0].id, done)))
    assert seen == [('teacher-s0', 4)]  # nothing is trained
    assert_same_runs(workdir, whole, after.runs)
    assert workdir.result('teacher-s0')['analyses'] == whole.result('teacher-s0')['analyses'] != {}
    assert not continued_runs(after, workdir, after.runs, prepare_study(after))


def test_a_run_is_not_measured_again_without_its_checkpoint_or_with_another_change(workdir):
    begin(workdir, planned(1.0))
    for options in ({'batch_size': 10}, {'evaluate': {'teacher': {'logits': 'teacher.logits'}}}):
        after = planned(1.0, analyses={'bias': BIAS}, **options)
        assert not continued_runs(after, workdir, after.runs, prepare_study(after))
    after = planned(1.0, analyses={'bias': BIAS})
    assert continued_runs(after, workdir, after.runs, prepare_study(after)).measured == ['teacher-s0']
    (workdir.directory('teacher-s0') / 'checkpoints' / '7').rename(workdir.directory('teacher-s0') / 'checkpoints' / 'x')
    assert not continued_runs(after, workdir, after.runs, prepare_study(after))
    longer = planned(2.0)
    finish(workdir, 'teacher-s0', 'student-s0')
    assert not continued_runs(longer, workdir, longer.runs, prepare_study(longer))


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
    assert continued_runs(after, workdir, after.runs, prepared).measured == kept


def test_the_command_says_what_it_measures_again(workdir, capsys):
    after = planned(1.0, analyses={'bias': BIAS})
    begin(workdir, planned(1.0))
    finish(workdir, 'teacher-s0', 'student-s0')
    will = command.changes(after, after.runs, prepare_study(after), Workdir(workdir.path))
    assert will == 'Only analyses or samples have changed: teacher-s0 will continue from the last checkpoint.\n'
    command.renew(after, after.runs, prepare_study(after), Workdir(workdir.path), fresh=False)
    said = ' '.join(capsys.readouterr().out.split())
    assert said == 'Only analyses or samples have changed. Continue from the last checkpoint: teacher-s0.'
    assert [workdir.result(run.id) is None for run in after.runs] == [True, False]


def test_the_command_says_what_it_trains_on_and_what_anew(workdir, capsys):
    after = planned(2.0)
    begin(workdir, planned(1.0))
    finish(workdir, 'teacher-s0', 'student-s0')
    will = command.changes(after, after.runs, prepare_study(after), Workdir(workdir.path))
    assert will == 'epochs was raised: teacher-s0 will continue, and the runs that need them will start anew.\n'
    command.renew(after, after.runs, prepare_study(after), Workdir(workdir.path), fresh=False)
    said = ' '.join(capsys.readouterr().out.split())
    assert said == (
        'epochs was raised. Continue from the last checkpoint: teacher-s0. Start anew, because they need these: '
        'student-s0.'
    )
    assert [workdir.result(run.id) for run in after.runs] == [None, None]
    assert (workdir.directory('teacher-s0') / 'checkpoints' / '7').exists()
    assert not (workdir.directory('student-s0') / 'checkpoints').exists()


def test_the_plan_says_that_another_config_needs_fresh(workdir):
    begin(workdir, planned(1.0))
    same, other = planned(1.0), planned(1.0, batch_size=10)
    assert command.changes(same, same.runs, prepare_study(same), Workdir(workdir.path)) == ''
    said = command.changes(other, other.runs, prepare_study(other), Workdir(workdir.path))
    assert 'teacher-s0 in batch_size: ' in said
    assert 'Use --fresh' in said
