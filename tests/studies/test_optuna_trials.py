"""Tests of hyperparameter search: the runs of a trial, refused searches, and searches that are killed or shared."""

import os
import pathlib
import sys

import pytest

from experiments import search as command
from kd_jax.config.config_file import config_variants, load_config, load_search
from kd_jax.config.errors import Diverged, UserError
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies import execute
from kd_jax.studies.optuna_trials import join_search, next_trial, objective_value, open_storage, tell_optuna
from kd_jax.studies.search_space import Search, check_objective, distribution, parse_search, with_trial
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

optuna = pytest.importorskip('optuna')
CONFIG = f'--config={pathlib.Path(__file__).parents[1] / "tiny_config.py"}'
T = 'runs.student.t'
RATE = 'runs.teacher.rate'


def config(**student):
    needs = {'networks': {'teacher': {'init': 'run:assistant/net'}}, 'x': ('result:teacher.y',), 't': 1.0}
    return {
        'name': 'chain',
        'runs': {
            'student': needs | student,
            'assistant': {'networks': {'teacher': {'init': 'run:teacher'}}},
            'teacher': {'rate': 0.1},
            'other': {'networks': {'teacher': {'init': 'run:teacher'}}},
        },
    }


def described(space=None, **options):
    space = space or {T: {'low': 1.0, 'high': 20.0, 'log': True}}
    return {'space': space, 'objective': 'result:student.last.valid.student.accuracy', **options}


def parsed(own=None, **options):
    own = own or config()
    return parse_search(described(**options), own, 'here'), own


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / 'results').mkdir()
    return Workdir(tmp_path)


def join(wanted, own, workdir, storage=None):
    return join_search(wanted, own, storage or f'sqlite:///{workdir.path / "search.db"}', workdir, 'here')


def test_a_trial_copies_what_its_values_change_and_shares_the_rest():
    wanted, own = parsed()
    with_it, judged = with_trial(own, wanted, 7, {T: 3.5}, 'here')
    assert judged == 'student_trial007'
    assert with_it['runs'].keys() - own['runs'].keys() == {judged}
    assert with_it['runs'][judged] == own['runs']['student'] | {'t': 3.5}
    assert {name: with_it['runs'][name] for name in own['runs']} == config()['runs']


def test_a_trial_that_changes_a_teacher_copies_all_between_it_and_what_is_judged_and_nothing_else():
    wanted, own = parsed(space={RATE: {'low': 0.1, 'high': 1.0}})
    with_it, _ = with_trial(own, wanted, 0, {RATE: 0.5}, 'here')
    new = {name: run for name, run in with_it['runs'].items() if name not in own['runs']}
    assert new == {
        'teacher_trial000': {'rate': 0.5},
        'assistant_trial000': {'networks': {'teacher': {'init': 'run:teacher_trial000'}}},
        'student_trial000': {
            'networks': {'teacher': {'init': 'run:assistant_trial000/net'}},
            'x': ('result:teacher_trial000.y',),
            't': 1.0,
        },
    }
    assert parse_study(with_it, 'here').runs


def test_floats_ints_and_choices_have_the_distribution_that_they_say():
    d = optuna.distributions
    assert distribution(T, {'low': 1, 'high': 3}, '') == d.IntDistribution(1, 3)
    assert distribution(T, {'low': 1, 'high': 3.0}, '') == d.FloatDistribution(1, 3)
    assert distribution(T, {'low': 1.0, 'high': 3.0, 'log': True}, '') == d.FloatDistribution(1, 3, log=True)
    assert distribution(T, {'choices': ['a', 'b']}, '') == d.CategoricalDistribution(['a', 'b'])


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'objective': 'result:student.last.test.student.accuracy'}, 'is on the test split; use validation'),
        ({'objective': 'result:studnt.last.valid.student.accuracy'}, "must be 'result:RUN.PATH' of a run"),
        ({'objective': 'last.valid.student.accuracy'}, "must be 'result:RUN.PATH' of a run"),
        ({'objective': 'result:other.last.valid.n.accuracy'}, f'does not depend on {T}.'),
        ({'direction': 'up'}, "no direction 'up'. "),
        ({'prune': True}, "get_search has no option 'prune'"),
        ({'space': {'seeds': {'low': 1, 'high': 2}}}, "'seeds' cannot be searched; a searched path has the form"),
        ({'space': {'runs.studnt.t': {'low': 1, 'high': 2}}}, "no run 'studnt' to search in. Did you mean 'student'?"),
        ({'space': {'runs.student.terms.t': {'low': 1, 'high': 2}}}, "there is no 'terms' in config.runs.student"),
        ({'space': {T: {'low': 2.0, 'high': 1.0}}}, f'{T} cannot be searched in'),
        ({'space': {T: {'low': 0.0, 'high': 1.0, 'log': True}}}, f'{T} cannot be searched in'),
        ({'space': {T: {'from': 1}}}, 'write dict(low=, high=, log=) or dict(choices=[...])'),
        ({'space': {T: {'choices': []}}}, f'{T} cannot be searched in'),
    ],
)
def test_a_wrong_search_is_refused(options, said):
    with pytest.raises(UserError) as error:
        parse_search(described(**options), config(), 'here')
    assert said in str(error.value)


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


def test_a_study_that_others_have_filled_is_refused_by_what_its_trials_searched(workdir):
    there = optuna.create_study(
        storage=open_storage(f'sqlite:///{workdir.path / "search.db"}'), study_name='chain', direction='maximize'
    )
    there.ask({'width': optuna.distributions.IntDistribution(1, 9)})
    with pytest.raises(UserError, match=f'{T}, width differ; {T} is absent there'):
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
    for seed, accuracy in enumerate(('0.5', '0.75', 'null')):
        text = f'{{"last": {{"valid": {{"student": {{"accuracy": {accuracy}}}}}}}}}'
        workdir.result_path(f'student_trial002-s{seed}').write_text(text)
    assert objective_value(wanted, 'student_trial002', 2, workdir) == 0.625
    assert objective_value(wanted, 'student_trial002', 3, workdir) is None


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
        return {'seconds': 0.0, 'last': {'test': {}, 'valid': {'student': {'nll': t}}}, **stated}

    monkeypatch.setattr(execute, 'prepare_run_of_study', lambda study, run, config: config)
    monkeypatch.setattr(command, 'prepare_study', lambda _: {'student_trial000': None})
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


def test_a_study_and_a_search_do_not_share_a_work_directory_but_two_searches_do(tmp_path):
    work, said = Workdir(tmp_path), 'another process is using'
    with work.locked(shared=True), work.locked(shared=True), pytest.raises(UserError, match=said), work.locked():
        pass
    with work.locked(), pytest.raises(UserError, match=said), work.locked(shared=True):
        pass


@pytest.mark.parametrize('file', sorted(pathlib.Path(__file__).parents[2].glob('configs/*.py')), ids=lambda p: p.stem)
def test_what_the_configs_search_is_there(file):
    for variant in config_variants(file) if 'def get_search' in file.read_text() else ():
        name = f'{file}:{variant}'.removesuffix(':')
        own = load_config(name)[0]
        wanted = parse_search(load_search(name), own, name)
        runs = own['runs'][wanted.run]
        check_objective(wanted, prepare_run({key: runs[key] for key in runs if key != 'analyses'}, 0, name))


def test_an_objective_that_will_not_be_measured_is_refused_before_training():
    name = CONFIG.removeprefix('--config=')
    prepared = prepare_run(
        load_config(name)[0]['runs']['student'] | {'data': {'source': 'mnist', 'examples': 300}}, 0, 'here'
    )
    for path, said in (
        ('last.valid.student.nll', "here has no split 'valid', which .* set data.valid"),
        ('last.train.studnt.nll', "here does not evaluate 'studnt', .* Did you mean 'student'"),
        ('last.train.student.mse', "evaluate 'student' does not measure 'mse', which the objective needs. Known: acc"),
        ('last.train.student.accuracy', "higher 'accuracy' is better, so the search must set direction='maximize'"),
    ):
        with pytest.raises(UserError, match=said):
            check_objective(Search({}, f'result:student.{path}', 'minimize'), prepared)
    check_objective(Search({}, 'result:student.last.train.student.nll', 'minimize'), prepared)
