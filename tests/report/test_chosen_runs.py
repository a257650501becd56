import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.check_report import check_report
from kd_jax.report.chosen_runs import check_choices, chosen_runs, said_chosen, with_chosen_runs
from kd_jax.report.learning_curves import draw_curves

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


def test_a_figure_of_several_runs_has_the_chosen_one():
    history = [{'epoch': float(epoch), 'valid': {'student': {'errors': 9 - epoch}}} for epoch in (1, 2, 3)]
    results = {run: {seed: own | {'history': history} for seed, own in seeds.items()} for run, seeds in RESULTS.items()}
    for runs, labels in (
        ({'labels': 'hard', 'soft targets': 'soft'}, ['labels', 'soft targets']),
        ({'labels': ['hard'], 'soft targets': ['soft']}, ['labels', 'soft targets']),
        (['hard', 'soft'], ['hard', 't4']),
        ('soft', ['t4']),
    ):
        figure = {'kind': 'curves', 'runs': runs, 'y': 'valid.student.errors'}
        report = {'chosen': REPORT['chosen'], 'figures': {'one': figure}}
        check_report({'report': report}, results)
        drawn, note = draw_curves(with_chosen_runs({'report': report}, results)['report']['figures']['one'], results)
        assert [text.get_text() for text in drawn.axes[0].texts] == labels
        assert note == ''


def test_references_to_a_chosen_run_are_replaced_wherever_they_stand():
    reference, chosen = f'soft:{ERRORS}', f't4:{ERRORS}'
    condition = {'value': reference, 'above': f'hard:{ERRORS}'}
    claim = {
        **{'kind': 'share', 'value': reference, 'low': reference, 'high': reference, 'runs': ['soft']},
        **{'evidence': {'soft: errors': reference}, 'provided': {**condition, 'otherwise': 'soft: learned nothing'}},
    }
    figure = {'kind': 'scatter', 'values': {'soft: ours': reference}, 'reference': {'soft': reference}, 'run': 'soft'}
    study = {'report': REPORT | {'claims': {'one': claim}, 'figures': {'one': figure}}}
    report = with_chosen_runs(study, RESULTS)['report']
    one = report['claims']['one']
    assert [one[key] for key in ('value', 'low', 'high', 'runs')] == [chosen, chosen, chosen, ['t4']]
    assert one['evidence'] == {'soft: errors': chosen}
    assert one['provided'] == {**condition, 'value': chosen, 'otherwise': 'soft: learned nothing'}
    one = report['figures']['one']
    assert (one['values'], one['reference'], one['run']) == ({'soft: ours': chosen}, {'soft': chosen}, 't4')


@pytest.mark.parametrize('key', ['title', 'caption', 'xlabel', 'ylabel', 'by_label', 'label', 'paper', 'why', 'regime'])
def test_a_text_that_begins_with_the_name_of_a_chosen_run_stays(key):
    said = {'kind': 'number', 'value': f'hard:{ERRORS}', key: 'soft: the best temperature'}
    report = with_chosen_runs({'report': REPORT | {'claims': {'a': said}, 'figures': {'a': said}}}, RESULTS)['report']
    assert report['claims']['a'][key] == report['figures']['a'][key] == 'soft: the best temperature'


def test_a_chosen_run_is_named_in_full_because_globs_match_the_runs_that_ran():
    curves = {'kind': 'curves', 'runs': ['so*'], 'y': 'valid.student.errors'}
    with pytest.raises(UserError, match="figure 'one': no run matches 'so\\*'"):
        check_report({'report': REPORT | {'figures': {'one': curves}}}, RESULTS)


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
