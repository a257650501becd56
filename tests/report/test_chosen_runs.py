import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.chosen_runs import check_choices, chosen_runs, said_chosen, with_chosen_runs

STATED = {'errors': {'unit': 'count', 'better': 'lower'}, 'accuracy': {'unit': 'fraction', 'better': 'higher'}}
ERRORS = 'last.test.student.errors'
REPORT = {
    'chosen': {'soft': {'runs': ['t*'], 'by': 'last.valid.student.errors'}},
    'tables': {
        'all': {'columns': {'errors': 'last.test.student.errors'}, 'rows': {'soft': {'label': 'soft'}, 'hard': {}}}
    },
    'claims': {'less': {'kind': 'difference', 'value': f'soft:{ERRORS}', 'low': f'hard:{ERRORS}'}},
    'figures': {'one': {'kind': 'soft_targets', 'run': 'soft', 'analysis': 'dark'}},
}


def result(valid, test):
    valid, test = ({'student': {'errors': errors, 'accuracy': 1 - errors / 100}} for errors in (valid, test))
    return {'last': {'valid': valid, 'test': test}, 'metrics': {'student': STATED}}


RESULTS = {
    't2': {0: result(9, 1), 1: result(9, 1)},
    't4': {0: result(4, 8), 1: result(6, 8)},
    't8': {0: result(3, 2), 1: result(9, 2)},
    'hard': {0: result(1, 0)},
}


def test_the_best_mean_over_seeds_on_validation_is_chosen_and_test_examples_do_not_count():
    (choice,) = chosen_runs({'report': REPORT}, RESULTS)
    assert (choice.run, choice.candidates, choice.way) == ('t4', ['t2', 't4', 't8'], 'lowest')  # means 9, 5 and 6


def test_a_number_of_which_more_is_better_is_chosen_by_its_highest_mean():
    report = {'chosen': {'soft': {'runs': 't*', 'by': 'last.valid.student.accuracy'}}}
    assert chosen_runs({'report': report}, RESULTS)[0][1:4] == ('t4', ['t2', 't4', 't8'], 'highest')


def test_tables_claims_and_figures_show_the_chosen_run():
    report = with_chosen_runs({'report': REPORT}, RESULTS)['report']
    assert report['tables']['all']['rows'] == {'soft': {'label': 'soft', 'run': 't4'}, 'hard': {}}
    assert report['claims']['less']['value'] == 't4:last.test.student.errors'
    assert report['claims']['less']['low'] == 'hard:last.test.student.errors'
    assert report['claims']['less']['candidates'] == ['t2', 't4', 't8']  # what was tried belongs to the cost
    assert report['figures']['one']['run'] == 't4'
    said = said_chosen({'report': REPORT}, RESULTS)
    assert said == '“soft” is t4, with the lowest errors of student on validation examples of t2, t4, t8'


def test_without_results_nothing_is_chosen():
    study = {'report': REPORT}
    assert with_chosen_runs(study, {}) == study
    assert said_chosen(study, {}) == ''


@pytest.mark.parametrize(
    ('entry', 'words'),
    [
        ({'runs': 't*', 'by': 'last.test.student.errors'}, 'choose on validation examples'),
        ({'runs': 'T*', 'by': 'last.valid.student.errors'}, 'no run matches'),
        ({'runs': 't*', 'by': 'last.valid.student.errors', 'buy': 1}, "Did you mean 'by'"),
    ],
)
def test_mistakes_are_said(entry, words):
    with pytest.raises(UserError, match=words):
        check_choices({'chosen': {'soft': entry}}, RESULTS)


def test_a_chosen_run_may_not_have_the_name_of_a_run():
    with pytest.raises(UserError, match='the name of a run'):
        check_choices({'chosen': {'hard': {'runs': 't*', 'by': 'last.valid.student.errors'}}}, RESULTS)
