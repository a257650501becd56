"""The sentence that says what was found."""

import copy

from kd_jax.report.finding import find
from kd_jax.report.tables import study_tables

PATH = 'last.test.student.errors'


def found(study, results):
    return find(study_tables(study, results), results)


def with_errors(results, run, errors, valid=None):
    """Gives a run these test errors, one for each seed, and perhaps validation errors."""
    results[run] = {}
    for seed, count in enumerate(errors):
        own = copy.deepcopy(results['baseline'][0])
        own['last'] = {'test': {'student': {'count': 100, 'errors': count, 'accuracy': 1 - count / 100}}}
        if valid:
            own['last']['valid'] = {'student': {'errors': valid[seed]}}
        results[run][seed] = own


def test_errors_that_are_removed_are_counted(loaded):
    finding = found(*loaded)  # errors 6, 7, 8 instead of 10, 12, 14
    assert finding.sentence == (
        '“distilled” removes 5 of the 12 errors that “baseline” makes (7.0 ± 1.0 instead of 12.0 ± 2.0 over 3 seeds).'
    )
    assert finding.note == ''
    assert (finding.table.name, finding.row.run) == ('main', 'student')


def test_another_metric_is_improved_by_a_difference(loaded):
    study, results = loaded
    study['report']['tables']['main']['compare'] = 'accuracy'
    assert found(study, results).sentence == (
        '“distilled” improves the accuracy of “baseline” by 5.00 percentage points (93.00 ± 1.00% instead of '
        '88.00 ± 2.00% over 3 seeds).'
    )


def test_a_gain_whose_interval_includes_zero_is_not_found(loaded):
    study, results = loaded
    with_errors(results, 'student', (8, 12, 13))  # gains 2, 0, 1: mean 1, sd 1, t 4.3027, so 1 ± 2.5
    assert found(study, results).sentence == (
        'No certain gain over “baseline”: the best row, “distilled”, has errors 11.0 ± 2.6 instead of 12.0 ± 2.0 over '
        '3 seeds, but the 95% interval of its gain, −1.5 to +3.5, includes zero.'
    )


def test_a_loss_is_said_to_be_one(loaded):
    study, results = loaded
    with_errors(results, 'student', (14, 16, 19))  # gains of -4, -4, -5
    assert found(study, results).sentence.startswith('Nothing is better than “baseline”: even the best other row')


def test_one_seed_is_no_proof(loaded):
    study, results = loaded
    one = {run: {0: seeds[0]} for run, seeds in results.items()}
    assert found(study, one).sentence == (
        'On one seed, “distilled” is better than “baseline” (errors 6 instead of 10); this may be chance, because '
        'seeds differ.'
    )


def test_equal_gains_are_no_proof(loaded):
    study, results = loaded
    with_errors(results, 'student', (11, 13, 15))
    assert found(study, results).sentence == (
        'On each of 3 seeds, “distilled” is worse than “baseline” (errors 13.0 ± 2.0 instead of 12.0 ± 2.0); this may '
        'be chance, because equal gains do not show how much seeds differ.'
    )
    with_errors(results, 'student', (10, 12, 14))
    assert found(study, results).sentence.startswith(
        'On each of 3 seeds, “distilled” is as good as “baseline” (errors 12.0'
    )


def test_the_numbers_are_those_of_the_seeds_that_both_have(loaded):
    study, results = loaded
    with_errors(results, 'student', (0, 4, 5))
    del results['student'][0]  # leaves gains of 12 - 4 and 14 - 5: mean 8.5, sd 0.7, t 12.706, so from 2.1 on
    assert found(study, results).sentence == (
        '“distilled” removes 8.5 of the 13 errors that “baseline” makes (4.5 ± 0.7 instead of 13.0 ± 1.4 over the 2 '
        'seeds that both have).'
    )
    del results['student'][1]
    assert found(study, results).sentence == (
        'On the one seed that both have, “distilled” is better than “baseline” (errors 5 instead of 14); this may be '
        'chance, because seeds differ.'
    )


def test_runs_without_a_common_seed_are_not_paired(loaded):
    study, results = loaded
    results['baseline'] = {seed + 10: result for seed, result in results['baseline'].items()}
    assert 'they have no seed in common' in found(study, results).sentence


def test_of_several_rows_the_best_on_validation_is_taken_or_the_choice_is_owned_up_to(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['other'] = {}
    with_errors(results, 'student', (6, 7, 8), valid=(5, 5, 5))
    with_errors(results, 'other', (7, 8, 9), valid=(4, 4, 4))
    chosen = found(study, results)
    assert chosen.row.run == 'other'
    assert chosen.note == 'Of 2 rows, it is the one that is best on validation examples.'
    with_errors(results, 'other', (7, 8, 9))
    flattered = found(study, results)
    assert flattered.row.run == 'student'
    assert flattered.note == 'It is the best of 2 rows by this very number, which therefore flatters it.'


def test_rows_are_compared_on_the_seeds_that_all_of_them_have(loaded):
    study, results = loaded
    rows = study['report']['tables']['main']['rows']
    rows['other'] = {}
    with_errors(results, 'student', (6, 16, 26), valid=(5, 15, 25))  # better on seed 0, which is easier than the others
    with_errors(results, 'other', (7,), valid=(6,))
    finding = found(study, results)
    assert finding.row.run == 'student'
    assert finding.note == (
        'Of 2 rows, it is the one that is best on validation examples, on the 1 seed that all of them have.'
    )
    with_errors(results, 'student', (6, 16, 26))
    finding = found(study, results)
    assert (finding.row.run, finding.on_validation) == ('student', False)
    assert finding.note.startswith('It is the best of 2 rows by this very number, on the 1 seed that all of them have,')
    results['other'] = {5: results['other'][0]}
    finding = found(study, results)
    assert finding.row.run == 'other'  # by the means, for want of anything better
    assert finding.note.endswith('They have no seed in common, so other seeds may have made it the best.')
    with_errors(results, 'other', (7,))
    del rows['baseline'], rows['absent']
    assert found(study, results).sentence.startswith('“distilled” is the best of 2 rows')


def test_without_a_baseline_the_best_number_is_all_there_is(loaded):
    study, results = loaded
    rows = study['report']['tables']['main']['rows']
    del rows['baseline'], rows['absent']
    assert 'nothing was measured that it can be compared with' in found(study, results).sentence
    rows['teacher'] = {}
    finding = found(study, results)
    assert finding.sentence == (
        '“teacher” is the best of 2 rows (errors 4.0 ± 0.0); none is known as the baseline to compare with.'
    )
    assert finding.row is None


def test_without_a_baseline_a_student_stands_beside_its_teacher(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows'] = {'student': {}, 'teacher': {}}
    for result in results['student'].values():
        result['config']['networks'] = {'teacher': {'update': 'frozen', 'init': 'run:teacher'}, 'student': {}}
    assert found(study, results).sentence == (
        '“student” has errors 7.0 ± 1.0, and the teacher, “teacher”, 4.0 ± 0.0; without a baseline, the same network '
        'trained alone, the gain from the teacher is unknown.'
    )


def test_what_has_not_run_or_not_measured_is_said(loaded):
    study, results = loaded
    assert found(study, {}).sentence == 'No run has finished yet, so nothing is found yet.'
    del results['baseline']
    assert found(study, results).sentence == (
        '“baseline”, the baseline, has not been run yet, so nothing is compared yet.'
    )
    study['report']['tables'] = {}
    study['report']['tables']['times'] = {'columns': {'time': 'seconds'}, 'rows': {'student': {}}}
    assert found(study, results).sentence == 'No run measured anything by which runs can be compared.'


def test_numbers_of_other_examples_are_not_the_best(loaded):
    study, results = loaded
    rows = study['report']['tables']['main']['rows']
    rows['teacher'] = {}
    for result in results['teacher'].values():
        result['last']['test']['student']['count'] = 10  # 4 errors, but of 10 images
    finding = found(study, results)
    assert finding.row.run == 'student'
    del rows['baseline'], rows['absent']
    results['more'] = results.pop('baseline')
    rows['more'] = {}
    assert found(study, results).sentence == (
        '“distilled” is the best of 2 rows (errors 7.0 ± 1.0); none is known as the baseline to compare with.'
    )


def test_validation_errors_of_other_examples_choose_nothing(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['other'] = {}
    with_errors(results, 'student', (6, 7, 8), valid=(5, 5, 5))
    with_errors(results, 'other', (7, 8, 9), valid=(4, 4, 4))
    for run, count in (('student', 100), ('other', 10)):
        for result in results[run].values():
            result['last']['valid']['student']['count'] = count
    finding = found(study, results)
    assert (finding.row.run, finding.on_validation) == ('student', False)
