"""The runs of a trial, and searches that are refused."""

import pathlib

import pytest

from kd_jax.config.config_file import config_variants, load_config, load_search
from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies.search_space import (
    Search,
    check_objective,
    distribution,
    parse_search,
    values_to_prepare,
    with_trial,
)
from kd_jax.studies.study import parse_study
from tests.small_searches import RATE, T, config, described, parsed

optuna = pytest.importorskip('optuna')
CONFIG = str(pathlib.Path(__file__).parents[1] / 'tiny_config.py')


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


def test_each_choice_and_both_ends_of_each_range_are_prepared_before_the_first_trial():
    ranges = {'a': {'choices': ['x', 'y', 'z']}, 'b': {'low': 1, 'high': 9}, 'c': {'choices': [5]}}
    assert values_to_prepare(Search(ranges, '', 'maximize')) == [
        {'a': 'x', 'b': 1, 'c': 5},
        {'a': 'y', 'b': 9, 'c': 5},
        {'a': 'z', 'b': 9, 'c': 5},
    ]


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'objective': 'result:student.last.test.student.accuracy'}, 'is on the test split; use validation'),
        ({'objective': 'result:studnt.last.valid.student.accuracy'}, "must be 'result:RUN.PATH' of a run"),
        ({'objective': 'last.valid.student.accuracy'}, "must be 'result:RUN.PATH' of a run"),
        ({'objective': 'result:student'}, "must be 'result:RUN.PATH' of a run"),
        ({'objective': 3}, "must be 'result:RUN.PATH' of a run"),
        ({'objective': 'result:student.lst.valid.student.accuracy'}, "result has no 'lst'. Did you mean 'last'?"),
        ({'space': [1]}, 'here: space is [1], but it must be a dictionary of searched paths and their ranges.'),
        ({'space': 'runs.student'}, "here: space is 'runs.student', but it must be a dictionary"),
        ({'space': {T: 0.1}}, f'{T} is searched in 0.1; write dict(low=, high=, log=) or dict(choices=[...])'),
        ({'space': {T: {'choices': 'adam'}}}, f"{T} is searched in {{'choices': 'adam'}}; write dict(low="),
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


@pytest.mark.parametrize('file', sorted(pathlib.Path(__file__).parents[2].glob('configs/*.py')), ids=lambda p: p.stem)
def test_what_the_configs_search_is_there(file):
    for variant in config_variants(file) if 'def get_search' in file.read_text() else ():
        name = f'{file}:{variant}'.removesuffix(':')
        own = load_config(name)[0]
        if (file.stem, variant) == ('hinton_mnist', 'paper'):  # trains on all images, so no validation split is left
            with pytest.raises(UserError, match='only the default variant has a search'):
                load_search(name)
            continue
        wanted = parse_search(load_search(name), own, name)
        runs = own['runs'][wanted.run]
        check_objective(wanted, prepare_run({key: runs[key] for key in runs if key != 'analyses'}, 0, name))


def test_an_objective_that_will_not_be_measured_is_refused_before_training():
    prepared = prepare_run(
        load_config(CONFIG)[0]['runs']['student'] | {'data': {'source': 'mnist', 'examples': 300}}, 0, 'here'
    )
    for path, said in (
        ('last.valid.student.nll', "here has no split 'valid', which .* set data.valid"),
        ('last.train.studnt.nll', "here does not evaluate 'studnt', .* Did you mean 'student'"),
        ('last.train.student.mse', "evaluate 'student' does not measure 'mse', which the objective needs. Known: acc"),
        ('last.valid', "must name a split, an evaluation and a metric, 'result:student.last.SPLIT.EVALUATION.METRIC'"),
        ('best.valid.student', "must name .* 'result:student.best.SPLIT.EVALUATION.METRIC'"),
        ('last.train.student.nll.mean', 'must name a split, an evaluation and a metric'),
        ('last.train.student.accuracy', "higher 'accuracy' is better, so the search must set direction='maximize'"),
    ):
        with pytest.raises(UserError, match=said):
            check_objective(Search({}, f'result:student.{path}', 'minimize'), prepared)
    for path in ('last.train.student.nll', 'last.epoch', 'seconds'):
        check_objective(Search({}, f'result:student.{path}', 'minimize'), prepared)


def test_an_analysis_is_an_objective_only_on_another_split_than_test():
    analyses = {
        'bias': {'analysis': 'class_bias', 'logits': 'student.logits', 'labels': 'batch.label', 'classes': (3,)},
        'similar': {'analysis': 'cka', 'first': 'student.logits', 'second': 'student.logits'},
    }
    analyses['valid_similar'] = {**analyses['similar'], 'split': 'valid'}
    run = load_config(CONFIG)[0]['runs']['student']
    data = {'source': 'mnist', 'examples': 300, 'valid': 100}
    prepared = prepare_run({**run, 'data': data, 'analyses': analyses}, 0, 'here')
    # The numbers of class_bias are errors on test examples, however the offset was tuned.
    for path in ('bias.before.errors', 'bias.tuned_on_valid.errors', 'similar.cka', ''):
        with pytest.raises(UserError, match='may be on the test split'):
            check_objective(Search({}, f'result:student.analyses.{path}', 'minimize'), prepared)
    for path in ('valid_similar.cka', 'ensemble.valid.members.nll'):
        check_objective(Search({}, f'result:student.analyses.{path}', 'minimize'), prepared)
