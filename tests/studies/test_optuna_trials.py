"""Searches that are killed or shared between workers, and the runs of their trials."""

import json
import pathlib
import types
from collections.abc import Mapping

import pytest

from experiments import search as command
from kd_jax.config.config_file import load_config
from kd_jax.config.errors import Diverged, UserError
from kd_jax.studies import execute
from kd_jax.studies.optuna_trials import next_trial, objective_value, runs_of_trials, tell_optuna
from kd_jax.studies.search_space import values_of_trial
from kd_jax.studies.search_storage import open_storage
from kd_jax.studies.workdir import Workdir
from tests.small_searches import T, join, parsed
from tests.small_studies import RESULT, finish

optuna = pytest.importorskip('optuna')
CONFIG = f'--config={pathlib.Path(__file__).parents[1] / "tiny_config.py"}'


def searched(workdir, killed):
    """The values of four trials with the objective -(t - 5)^2; the worker is killed during the trials in `killed`."""
    wanted, own = parsed()
    joined = join(wanted, own, workdir)
    for number in range(4):
        if number in killed:
            with next_trial(joined, wanted, 4, workdir, 'here') as trial:
                assert trial.number == number
            joined = join(wanted, own, workdir)
        with next_trial(joined, wanted, 4, workdir, 'here') as trial:
            assert trial.number == number
            tell_optuna(joined, number, -((trial.params[T] - 5.0) ** 2))
    with next_trial(joined, wanted, 4, workdir, 'here') as trial:
        assert trial is None
    return [trial.params for trial in joined.trials]


def test_a_search_that_is_killed_goes_on_with_the_trial_it_was_in_and_proposes_the_same(tmp_path):
    for name in ('whole', 'killed'):
        (tmp_path / name).mkdir()
    whole = searched(Workdir(tmp_path / 'whole'), ())
    assert searched(Workdir(tmp_path / 'killed'), (0, 3)) == whole
    assert len({params[T] for params in whole}) == 4


def test_values_in_the_storage_that_this_search_does_not_have_are_not_tried(workdir):
    wanted, own = parsed()
    joined = join(wanted, own, workdir)
    joined.ask({T: optuna.distributions.FloatDistribution(1.0, 1e9, log=True)})
    with next_trial(joined, wanted, 2, workdir, 'here') as trial:
        assert trial.number == 1
        assert 1.0 <= trial.params[T] <= 20.0
        tell_optuna(joined, 1, 0.5)
    with pytest.raises(UserError, match=f'another search space: {T} differ; .*high=1000000000.0, log=True there'):
        join(wanted, own, workdir)


def test_choices_of_any_kind_are_stored_and_come_back_as_they_were(workdir):
    choices = [(8,), [16, 4], {'name': 'adam'}, 'adam', 1, True, None]
    wanted, own = parsed(space={T: {'choices': choices}})
    tried = []
    for number in range(20):
        joined = join(wanted, own, workdir)  # reads from the storage what the trials before have searched
        with next_trial(joined, wanted, 20, workdir, 'here') as trial:
            tried.append(values_of_trial(wanted, trial.params)[T])
            tell_optuna(joined, number, float(number % 3))
    known = {(type(choice), str(choice)) for choice in choices}
    assert {(type(choice), str(choice)) for choice in tried} <= known
    assert {tuple, list, dict} <= {type(choice) for choice in tried}
    asked = runs_of_trials(wanted, joined, own, 'here')
    assert [asked[f'student_trial{number:03d}']['t'] for number in range(20)] == tried


def test_a_trial_that_another_worker_is_at_is_left_to_it(workdir):
    wanted, own = parsed()
    joined = join(wanted, own, workdir)
    with (
        next_trial(joined, wanted, 2, workdir, 'here') as one,
        next_trial(joined, wanted, 2, workdir, 'here') as two,
    ):
        assert (one.number, two.number) == (0, 1)
        with next_trial(joined, wanted, 2, workdir, 'here') as none:
            assert none is None


def test_the_value_is_the_mean_over_the_seeds_and_none_if_one_is_not_finite(workdir):
    wanted, _ = parsed()
    for seed, accuracy in enumerate((0.5, 0.75, None)):
        last = {'step': 1, 'valid': {'student': {'accuracy': accuracy}}}
        finish(workdir, f'student_trial002-s{seed}', last=last)
    assert objective_value(wanted, 'student_trial002', 2, workdir) == 0.625
    assert objective_value(wanted, 'student_trial002', 3, workdir) is None


def test_a_value_that_is_no_number_is_refused(workdir):
    wanted, _ = parsed(objective='result:student.parameters')
    finish(workdir, 'student_trial002-s0', parameters={'student': 7})
    with pytest.raises(UserError, match=r"'result:student_trial002\.parameters' is a dict, but it must be a number\."):
        objective_value(wanted, 'student_trial002', 1, workdir)


class Pretended(dict):
    """The config of a run in place of its prepared run."""

    splits = types.SimpleNamespace(checksum='crc32:1')
    weight_checksums: Mapping[str, str] = types.MappingProxyType({})


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """Replaces training and report: the nll of a student is its temperature, and the second trial diverges.

    Returns:
      the names of the trained runs; the test reads them after the command.
    """
    trained = []

    def train(run_to_train):
        trained.append(run_to_train.directory.name)
        if run_to_train.directory.name == 'student_trial001-s0':
            return Diverged('no longer finite.')
        t = run_to_train.prepared['terms'].get('soft', {}).get('t', 0.0)
        stated = {'best_by': {'student': 'nll'}, 'metrics': {'student': {'nll': {'unit': 'nats', 'better': 'lower'}}}}
        return {**RESULT, 'last': {'step': 0, 'test': {}, 'valid': {'student': {'nll': t}}}, **stated}

    monkeypatch.setattr(execute, 'prepare_run_of_study', lambda study, run, config: Pretended(config))
    monkeypatch.setattr(execute, 'check_memory', lambda prepared: None)
    monkeypatch.setattr(command, 'prepare_study', lambda _: {'student_trial000': Pretended()})
    monkeypatch.setattr(command, 'check_objective', lambda *_: None)
    monkeypatch.setattr(execute, 'train_group', lambda group, *_, **__: [train(each) for each in group])
    for name, empty in (('build_report', None), ('load_results', ()), ('print_tables', None)):
        monkeypatch.setattr(command.report, name, lambda *_, empty=empty: empty)
    monkeypatch.setattr(command, 'exit_code', lambda work: work())
    return trained


def test_a_teacher_is_trained_once_a_trial_that_diverges_fails_and_the_others_go_on(pretended, tmp_path, capsys):
    assert command.main([CONFIG, '--trials=2', f'--workdir={tmp_path}']) == 0
    assert command.main([CONFIG, '--trials=4', f'--workdir={tmp_path}']) == 0
    assert pretended == ['teacher-s0', *(f'student_trial{number:03d}-s0' for number in range(4))]
    told = optuna.load_study(storage=open_storage(f'sqlite:///{tmp_path / "search.db"}'), study_name='tiny').trials
    assert [trial.value for trial in told] == [
        None if number == 1 else trial.params['runs.student.terms.soft.t'] for number, trial in enumerate(told)
    ]
    assert [trial.state.name for trial in told] == ['COMPLETE', 'FAIL', 'COMPLETE', 'COMPLETE']
    out = capsys.readouterr().out
    assert 'no longer finite.' in out
    assert 'trial 1: failed' in out
    assert 'failed: 1.' in (tmp_path / 'study.json').read_text()


@pytest.mark.parametrize('name', ['student_trial000', 'teacher'])
def test_a_finished_run_with_other_values_is_not_taken_for_a_run_of_a_trial(name, pretended, tmp_path):
    run = {**load_config(CONFIG.removeprefix('--config='))[0]['runs'][name.partition('_')[0]], 'epochs': 7}
    workdir = Workdir(tmp_path)
    workdir.directory(f'{name}-s0').mkdir(parents=True)
    (workdir.directory(f'{name}-s0') / 'config.json').write_text(json.dumps(run))
    (tmp_path / 'results').mkdir()
    last = {'step': 0, 'test': {}, 'valid': {}}
    finish(workdir, f'{name}-s0', study='tiny', last=last)
    with pytest.raises(UserError) as error:
        command.main([CONFIG, '--trials=1', f'--workdir={tmp_path}'])
    assert f'{tmp_path} was made with another config or other data: 1 of the runs differ, {name}-s0 in ' in str(
        error.value
    )
    assert 'epochs: 7 -> 2.0' in str(error.value)
    assert str(error.value).endswith('Use another --workdir, and another --storage if you give one.')
    assert pretended == []


@pytest.mark.parametrize(
    ('leaf', 'values', 'said'),
    [
        ('optimizer.name', {'choices': ['adam', 'sdg']}, "Did you mean 'sgd'?"),
        ('batch_size', {'low': 25, 'high': 2000}, 'batch_size is 2000, but an epoch has only 300 examples'),
    ],
)
def test_a_value_that_no_trial_could_train_is_refused_before_anything_is_written(leaf, values, said, tmp_path, capsys):
    file = tmp_path / 'mistaken.py'
    file.write_text(
        'from tests.tiny_config import get_config\n\n\ndef get_search():\n'
        f"    return dict(space={{'runs.student.{leaf}': {values}}}, direction='minimize',\n"
        "                objective='result:student.last.valid.student.nll')\n"
    )
    assert command.main([f'--config={file}', '--trials=1', f'--workdir={tmp_path / "work"}']) == 2
    assert said in capsys.readouterr().out.replace('\n', ' ')
    assert not (tmp_path / 'work').exists()
