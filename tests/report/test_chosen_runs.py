import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.check_report import check_report
from kd_jax.report.chosen_runs import check_choices, chosen_runs, said_chosen, with_chosen_runs
from kd_jax.report.learning_curves import draw_curves
from kd_jax.report.paper_claims import study_claims

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


def studied(results, seeds=2):
    """A study that asks for these runs, chooses 'soft' of t* and states a claim about it."""
    claim = {'kind': 'number', 'value': f'soft:{ERRORS}', 'rule': {'at_most': 8}}
    return {'seeds': seeds, 'runs': {run: {} for run in results}, 'report': REPORT | {'claims': {'few': claim}}}


@pytest.mark.parametrize(
    ('missing', 'words'),
    [
        ({'t8': (0, 1)}, 't8 has not been run yet'),
        ({'t8': (0, 1), 't2': (1,)}, 't2 (seed 1), t8 have not been run yet'),
        ({'t2': (0,), 't4': (0,), 't8': (0,)}, 't2 (seed 0), t4 (seed 0), t8 (seed 0) have not been run yet'),
    ],
)
def test_nothing_is_chosen_and_its_claims_are_open_before_all_that_is_asked_for_has_run(missing, words):
    study = studied({'t2': {}, 't4': {}, 't8': {}})  # 'hard' is no candidate and need not have run
    had = {
        run: {seed: own for seed, own in RESULTS[run].items() if seed not in missing.get(run, ())} for run in RESULTS
    }
    results = {run: seeds for run, seeds in had.items() if seeds}
    assert said_chosen(study, results) == f'“soft” is not chosen: {words}'
    [claim] = study_claims(with_chosen_runs(study, results), results)
    assert (claim.of_means, claim.verdict) == (None, 'open')
    assert claim.sentence == f'Open: “soft” is not chosen: {words}. The rule: at most 8.'
    assert with_chosen_runs(study, results)['report']['tables']['all']['rows']['soft'] == {'label': 'soft'}
    complete = {run: RESULTS[run] for run in study['runs']}
    [claim] = study_claims(with_chosen_runs(study, complete), complete)
    assert claim.ours == '8.0 ± 0.0'


def test_the_command_of_an_open_claim_runs_the_candidates_and_not_the_name_of_the_choice():
    study = studied({'t2': {}, 't4': {}}) | {'command': 'python -m experiments.run --config=configs/small.py'}
    results = {'t2': RESULTS['t2'], 't4': {0: RESULTS['t4'][0]}}
    [claim] = study_claims(with_chosen_runs(study, results), results)
    assert claim.command.endswith("--only='t2,t4'")


def test_candidates_are_judged_on_the_seeds_that_all_have():
    report = {'chosen': {'pick': {'runs': ['a', 'b'], 'by': 'last.valid.student.errors'}}}
    results = {'a': dict(enumerate([result(9, 0), result(19, 0), result(29, 0)])), 'b': {0: result(11, 0)}}
    study = {
        'report': report,
        'runs': {'a': {'seeds': 3}, 'b': {'seeds': 1}},
    }  # seed 0 is easy: 9 is less than 11 there
    assert chosen_runs(study, results)[0].run == 'a'
    assert said_chosen(study, results).endswith('of a, b, on the 1 seed that all of them have')
    study['runs']['a'], study['runs']['b'] = {'seeds': 3}, {'seeds': 3}
    assert chosen_runs(study, results)[0].run is None
    apart = {'report': report}, results | {'b': {5: result(1, 0)}}  # an older study, which did not name its runs
    assert said_chosen(*apart) == '“pick” is not chosen: a, b have no seed in common'


def test_a_candidate_whose_number_is_not_finite_on_a_seed_is_left_out_and_counts_as_tried():
    valid = {'student': {'errors': None, 'accuracy': None}}
    results = RESULTS | {'t4': {0: result(1, 8), 1: result(1, 8) | {'last': {'valid': valid}}}}
    study = studied({'t2': {}, 't4': {}, 't8': {}})
    (choice,) = chosen_runs(study, results)
    assert (choice.run, choice.candidates, choice.left_out) == ('t8', ['t2', 't8'], ['t4'])
    assert said_chosen(study, results).endswith('of t2, t8 (without a finite number on every seed: t4)')
    assert with_chosen_runs(study, results)['report']['claims']['few']['candidates'] == ['t2', 't8', 't4']
    results = dict.fromkeys(('t2', 't4', 't8'), results['t4'])
    words = 'no run that matches t* has a finite last.valid.student.errors on each of its seeds'
    assert said_chosen(study, results) == f'“soft” is not chosen: {words}'


def test_counts_of_different_numbers_of_examples_choose_nothing():
    def counted(errors, count):
        metrics = {'student': {'errors': errors, 'accuracy': 1 - errors / count, 'count': count}}
        return {0: {'last': {'valid': metrics, 'test': metrics}, 'metrics': {'student': STATED}}}

    results = {'a': counted(10, 100), 'b': counted(40, 1000)}
    report = {'chosen': {'pick': {'runs': ['a', 'b'], 'by': 'last.valid.student.errors'}}}
    assert chosen_runs({'report': report}, results)[0].run is None
    assert '(a: 100, b: 1,000), so choose by a number that is no count' in said_chosen({'report': report}, results)
    report['chosen']['pick']['by'] = 'last.valid.student.accuracy'
    assert chosen_runs({'report': report}, results)[0].run == 'b'
    report['chosen']['pick']['by'] = 'last.valid.student.errors'
    assert chosen_runs({'report': report}, {'a': results['a'], 'b': counted(40, 100)})[0].run == 'a'


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
    report = with_chosen_runs(study, {})['report']
    assert {key: report[key] for key in ('tables', 'figures')} == {key: REPORT[key] for key in ('tables', 'figures')}
    assert report['claims']['less']['value'] == f'soft:{ERRORS}'
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
