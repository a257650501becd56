"""Storages that hold another search, that do not open, or that several workers share."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies.optuna_trials import next_trial, tell_optuna
from kd_jax.studies.search_storage import join_search, open_storage, sqlite_url
from kd_jax.studies.workdir import Workdir
from tests.small_searches import RATE, T, config, join, parsed
from tests.small_studies import finish

optuna = pytest.importorskip('optuna')


def join_and_complete_a_trial(wanted, own, workdir):
    joined = join(wanted, own, workdir)
    with next_trial(joined, wanted, 1, workdir, 'here') as trial:
        tell_optuna(joined, trial.number, 0.5)
    return joined


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
    before = dict(join_and_complete_a_trial(*parsed(), workdir).user_attrs)
    with pytest.raises(UserError) as error:
        join(*parsed(config(**own), **options), workdir)
    assert said in str(error.value)
    after = join(*parsed(), workdir)
    assert (after.user_attrs, [trial.value for trial in after.trials]) == (before, [0.5])


ADAM = {'space': {T: {'choices': ['adam', 'sdg']}}}
SGD = {'space': {T: {'choices': ['adam', 'sgd', 'adamw']}}}


def test_a_search_without_a_complete_trial_begins_again_with_another_space(workdir):
    joined = join(*parsed(**ADAM), workdir)
    with next_trial(joined, parsed(**ADAM)[0], 2, workdir, 'here') as trial:
        tell_optuna(joined, trial.number, None)  # it diverged
    with next_trial(joined, parsed(**ADAM)[0], 2, workdir, 'here'):
        pass  # its worker was killed
    finish(workdir, 'teacher-s0', 'student_trial000-s0')
    for name in ('teacher', 'student_trial000', 'student_trial001'):
        workdir.directory(f'{name}-s0').mkdir(parents=True)
        (workdir.directory(f'{name}-s0') / 'config.json').write_text('{}')
    again = join(*parsed(**SGD), workdir)
    assert again.trials == []
    assert [path.name for path in (workdir.path / 'results').iterdir()] == ['teacher-s0.json']
    assert [path.parent.name for path in (workdir.path / 'runs').glob('*/*')] == ['teacher-s0']
    with next_trial(again, parsed(**SGD)[0], 1, workdir, 'here') as trial:
        assert trial.number == 0
        assert trial.params[T] in SGD['space'][T]['choices']
        tell_optuna(again, 0, 0.5)
    assert [trial.value for trial in join(*parsed(**SGD), workdir).trials] == [0.5]


def test_a_search_does_not_begin_again_while_a_worker_is_at_a_trial(workdir):
    joined = join(*parsed(**ADAM), workdir)
    with next_trial(joined, parsed(**ADAM)[0], 1, workdir, 'here') as trial:
        with pytest.raises(UserError, match='with another search space'):
            join(*parsed(**SGD), workdir)
        tell_optuna(joined, trial.number, 0.5)
    assert [trial.value for trial in joined.trials] == [0.5]


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
from kd_jax.studies.search_storage import join_search, sqlite_url
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
    join_and_complete_a_trial(wanted, own, workdir)
    second = f'sqlite:///{workdir.path / "second.db"}'
    said = f'{workdir.path} holds the runs of a search that --storage={second} does not know; give the storage of that '
    with pytest.raises(UserError, match=re.escape(said)):
        join(wanted, own, workdir, second)
    assert [trial.value for trial in join(wanted, own, workdir).trials] == [0.5]
