"""Searches that are killed, shared between workers, or kept in a storage of another search."""

import json
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest

from experiments import search as command
from kd_jax.config.config_file import load_config
from kd_jax.config.errors import Diverged, UserError
from kd_jax.studies import execute
from kd_jax.studies.optuna_trials import join_search, next_trial, objective_value, open_storage, sqlite_url, tell_optuna
from kd_jax.studies.workdir import Workdir
from tests.small_searches import RATE, T, config, parsed
from tests.small_studies import RESULT, finish

optuna = pytest.importorskip('optuna')
CONFIG = f'--config={pathlib.Path(__file__).parents[1] / "tiny_config.py"}'


def join(wanted, own, workdir, storage=None):
    return join_search(wanted, own, storage or f'sqlite:///{workdir.path / "search.db"}', workdir, 'here')


@pytest.mark.parametrize(
    ('options', 'own', 'said'),
    [
        (
            {'space': {T: {'low': 1.0, 'high': 9.0}}},
            {},
            f'{T} differ; {T} is low=1.0, high=20.0, log=True there and low=1.0, high=9.0, log=False here',
        ),
        (
            {'space': {T: {'low': 1.0, 'high': 20.0, 'log': True}, RATE: {'choices': [1, 2]}}},
            {},
            f'another search space: {RATE} differ; {RATE} is absent there and choices=[1, 2] here',
        ),
        ({'objective': 'result:student.best.valid.student.accuracy'}, {}, 'with another objective'),
        ({'direction': 'minimize'}, {}, 'with another direction'),
        ({}, {'epochs': 3}, "of another config: runs.student.epochs is 'absent' there and 3 here"),
    ],
)
def test_another_search_in_the_same_storage_is_refused_and_left_as_it_is(options, own, said, workdir):
    before = dict(join(*parsed(), workdir).user_attrs)
    with pytest.raises(UserError) as error:
        join(*parsed(config(**own), **options), workdir)
    assert said in str(error.value)
    assert join(*parsed(), workdir).user_attrs == before


def test_a_search_does_not_go_on_with_other_data(workdir):
    def joined(**data):
        return join_search(*parsed(), f'sqlite:///{workdir.path / "search.db"}', workdir, 'here', data)

    joined(student='crc32:1', teacher='crc32:2')
    joined(student='crc32:1', teacher='crc32:2')
    with pytest.raises(UserError, match='on other data: the source of teacher gives other arrays than when'):
        joined(student='crc32:1', teacher='crc32:3')


def test_a_study_that_others_have_filled_is_refused_by_what_its_trials_searched(workdir):
    there = optuna.create_study(
        storage=open_storage(f'sqlite:///{workdir.path / "search.db"}'), study_name='chain', direction='maximize'
    )
    there.ask({'width': optuna.distributions.IntDistribution(1, 9)})
    with pytest.raises(UserError, match=f'{T}, width differ; {T} is absent there'):
        join(*parsed(), workdir)


@pytest.mark.parametrize('name', ['a [1]', 'a?b', 'a%20b', 'a#b', 'ü', 'a:b@c'])
def test_the_storage_lies_in_a_work_directory_of_any_name(name, tmp_path):
    workdir = Workdir(tmp_path / name)
    workdir.path.mkdir()
    try:
        url = sqlite_url(workdir.path / 'search.db')
    except UserError:
        pytest.skip('this SQLAlchemy cannot quote it')
    join(*parsed(), workdir, url)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (workdir.path / 'search.db').exists()


JOIN = """
import sys
import types
from kd_jax.studies.optuna_trials import join_search, sqlite_url
from kd_jax.studies.workdir import Workdir
from tests.small_searches import parsed
workdir = Workdir(__import__('pathlib').Path(sys.argv[1]))
import optuna, sqlalchemy.dialects.sqlite
print('ready', flush=True)
sys.stdin.readline()
join_search(*parsed(), sqlite_url(workdir.path / 'search.db'), workdir, 'here')
"""


def test_workers_that_start_together_create_one_storage(workdir):
    workers = [
        subprocess.Popen(
            [sys.executable, '-c', JOIN, workdir.path], text=True, env={**os.environ, 'PYTHONPATH': os.getcwd()},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout.readline() == 'ready\n'
    for worker in workers:
        worker.stdin.write('\n')
        worker.stdin.flush()
    assert [(worker.communicate(timeout=60)[1], worker.returncode) for worker in workers] == [('', 0), ('', 0)]
    join(*parsed(), workdir)


def test_storage_that_does_not_open_is_one_sentence(workdir):
    for storage in (f'sqlite:////{workdir.path}/no/such/search.db', 'nonsense'):
        with pytest.raises(UserError, match=f'--storage={storage} cannot be opened: ') as error:
            join(*parsed(), workdir, storage)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_no_connection_to_the_database_stays_open_between_queries(workdir):
    wanted, own = parsed()
    joined = join(wanted, own, workdir)
    with next_trial(joined, wanted, 1, workdir, 'here'):
        opened = {os.path.realpath(file) for file in pathlib.Path('/proc/self/fd').iterdir()}
        assert any(name.endswith('.lock') for name in opened)
        assert str(workdir.path.resolve() / 'search.db') not in opened


def test_workers_of_one_storage_share_a_work_directory(workdir, tmp_path_factory):
    storage = f'sqlite:///{workdir.path / "search.db"}'
    join(*parsed(), workdir, storage)
    with pytest.raises(UserError, match='all workers of a search share one --workdir'):
        join(*parsed(), Workdir(tmp_path_factory.mktemp('another')), storage)


def test_a_work_directory_with_trials_serves_no_second_storage(workdir):
    wanted, own = parsed()
    first = join(wanted, own, workdir)
    with next_trial(first, wanted, 1, workdir, 'here') as trial:
        tell_optuna(first, trial.number, 0.5)
    second = f'sqlite:///{workdir.path / "second.db"}'
    said = f'{workdir.path} holds the runs of a search that --storage={second} does not know; give the storage of that '
    with pytest.raises(UserError, match=re.escape(said)):
        join(wanted, own, workdir, second)
    assert [trial.value for trial in join(wanted, own, workdir).trials] == [0.5]


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
    with pytest.raises(UserError, match=f'another search space: {T} differ; .*high=1000000000.0, log=True there'):
        join(wanted, own, workdir)


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


class Pretended(dict):
    """The config of a run in place of its prepared run."""

    splits = types.SimpleNamespace(checksum='crc32:1')


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
