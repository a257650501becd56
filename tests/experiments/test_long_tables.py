"""The tables of the long comparison, from small results that are made by hand."""

import numpy as np
import pytest

from configs import benchmark_pairs_long as stages
from experiments import long_tables
from kd_jax.analyses.correct_examples import correct_examples
from kd_jax.report.paired_difference import holm, paired_difference


def result(right, valid=0.5):
    """The result of a run that classifies the test examples marked by `right` correctly."""
    right = np.asarray(right)
    labels = np.zeros(right.shape[-1], int)
    logits = np.stack([right, 1 - right], axis=-1).astype(float)
    return {
        'last': {'test': {'student': {'accuracy': right.mean()}}, 'valid': {'student': {'accuracy': valid}}},
        'analyses': {'right': correct_examples({'test': logits}, {'test': labels})},
    }


def seeds(*rights):
    return {seed: result(right) for seed, right in enumerate(rights)}


def cells(table):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in table.splitlines()]


def test_differences_are_read_example_by_example_and_corrected_for_their_number():
    rng = np.random.default_rng(0)
    kd = rng.integers(2, size=(3, 200))
    kd[:, :60] = 0
    much = np.maximum(kd, np.arange(200) < 60)  # right wherever KD is, and on 60 more of 200
    results = {'kd': seeds(*kd), 'dkd': seeds(*much), 'fitnet': seeds(*kd[:, ::-1]), 'baseline': seeds(*(1 - much))}
    found = long_tables.differences_from('kd', results)
    assert found['dkd'] == paired_difference(much, kd)
    assert found['dkd'].mean == pytest.approx(0.3)
    shown = long_tables.compared(results)
    assert set(shown) == {'dkd', 'fitnet', 'baseline'}
    low, high = found['dkd'].interval
    assert shown['dkd'] == f'+30.0 ({100 * low:.1f} to {100 * high:.1f}) ▲'
    corrected = dict(zip(found, holm([each.p_value for each in found.values()]), strict=True))
    assert {run: shown[run][-1] in '▲▼' for run in found} == {run: corrected[run] < 0.05 for run in found}
    assert shown['fitnet'][-1] == ')'


def test_a_difference_that_holms_correction_makes_uncertain_has_no_arrow():
    kd = np.zeros((3, 40), int)
    some = np.tile(np.arange(40) < 5, (3, 1))  # 5 of 40 pairs, all seeds alike: p = 0.024
    alone = {'kd': seeds(*kd), 'dkd': seeds(*some)}
    assert long_tables.compared(alone)['dkd'].endswith('▲')
    level = {name: seeds(*kd) for name in ('fitnet', 'baseline')}
    assert long_tables.compared({**alone, **level})['dkd'].endswith(')')  # 3 * 0.024


def test_the_copies_of_a_cohort_count_as_the_share_of_them_that_are_right():
    cohort = result(np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]]))
    assert long_tables.shares_correct(cohort).tolist() == pytest.approx([1, 1 / 3, 0])


def test_ranks_are_those_among_the_runs_that_both_studies_have():
    short = {run: seeds([1] * n + [0] * (4 - n)) for run, n in (('kd', 3), ('dkd', 2), ('fitnet', 1), ('simkd', 4))}
    long = {run: seeds([1] * n + [0] * (4 - n)) for run, n in (('kd', 1), ('dkd', 1), ('fitnet', 2))}
    assert long_tables.rank_changes(short, long) == {'kd': '1 → 2.5', 'dkd': '2 → 2.5', 'fitnet': '3 → 1'}


def test_the_tuned_methods_are_sorted_and_have_the_settings_that_were_best_on_validation():
    once = {'kd': {0: result([1, 1, 0, 0], 0.5)}, 'dkd': {0: result([1, 1, 1, 0], 0.6)}}
    trials = {
        stages.trial_name(run, *trial): {0: result([1, 0], valid)}
        for run, valid in (('kd', 0.4), ('dkd', 0.7))
        for trial in stages.TRIALS[1:]
    }
    trials['kd_lr0_007_x3'][0]['last']['valid']['student']['accuracy'] = 0.8
    two = [1, 1, 0, 0]
    tuned = {'kd': seeds(two, two, two), 'dkd': seeds([1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0])}
    rows = cells(long_tables.tuned_table({'every_1000': once, 'trials_1000': trials, 'tuned_1000': tuned}))
    assert [(row[0], row[3]) for row in rows[2:]] == [('DKD', '0.02, × 0.3'), ('KD', '0.007, × 3')]
    assert rows[3][1:3] + rows[3][4:] == ['50.0 ± 0.0', '–', '–', '–', '–']
    assert rows[2][2].startswith('+33.3 (')


def test_each_number_of_images_has_the_settings_that_were_best_with_it():
    def study(size, best):
        trials = {stages.trial_name('kd', *trial): {0: result([1], 0.4)} for trial in stages.TRIALS[1:]}
        trials[best] = {0: result([1], 0.8)}
        tuned = {'kd': {0: result([1, 0])}}
        return {f'every_{size}': {'kd': {0: result([1], 0.5)}}, f'trials_{size}': trials, f'tuned_{size}': tuned}

    found = study(1000, 'kd_lr0_007_x3') | study(10_000, 'kd_lr0_02_x0_3')
    rows = cells(long_tables.tuned_table(found))
    assert rows[2] == ['KD', '50.0', '–', '0.007, × 3', '50.0', '–', '0.02, × 0.3']
    assert rows[0][3::3] == ['rate, strength', 'rate, strength']


@pytest.mark.parametrize(('number', 'spread'), [(1, ''), (2, ' ± 0.0')])
def test_tuned_methods_of_one_or_two_seeds_have_a_difference_without_an_interval(number, spread):
    tuned = {'kd': seeds(*number * [[1, 1, 0, 0]]), 'dkd': seeds(*number * [[1, 1, 1, 0]])}
    rows = cells(long_tables.tuned_table({'tuned_1000': tuned}))
    dkd, kd = ['DKD', f'75.0{spread}', '+25.0', '–'], ['KD', f'50.0{spread}', '–', '–']
    assert rows[2:] == [[*own, '–', '–', '–'] for own in (dkd, kd)]


def test_the_methods_trained_once_have_their_difference_from_kd_and_both_ranks():
    once = {'kd': {0: result([1, 1, 0, 0])}, 'dkd': {0: result([1, 1, 1, 0])}, 'fsp': {0: result([1, 0, 0, 0])}}
    rows = cells(long_tables.once_table({'every_1000': once}, {1000: once}))
    assert rows[2:] == [
        ['DKD', '75.0', '+25.0', '1 → 1', '–', '–', '–'],
        ['KD', '50.0', '–', '2 → 2', '–', '–', '–'],
        ['FSP', '25.0', '−25.0', '3 → 3', '–', '–', '–'],
    ]


def test_tuned_methods_have_no_settings_where_the_stages_that_chose_them_are_not_given():
    rows = cells(long_tables.tuned_table({'tuned_1000': {'kd': seeds([1, 0], [1, 0])}}))
    assert rows[2] == ['KD', '50.0 ± 0.0', '–', '–', '–', '–', '–']


def test_flatness_is_the_difference_between_both_lengths_seed_by_seed():
    def runs(*valid):
        return {seed: result([1, 0], each) for seed, each in enumerate(valid)}

    flat = {'kd_10000': runs(0.90, 0.92), 'kd_20000': runs(0.91, 0.95), 'kd_40000': runs(0.92, 0.96)}
    # Gains 1 and 3 points: mean 2; standard error 1; Student's t with one degree of freedom 12.706.
    rows = cells(long_tables.flat_table({'flat_1000': flat}))
    doubled = ['1,000', 'KD', '10,000 → 20,000', '91.0 ± 1.4', '93.0 ± 2.8', '+2.0 (−10.7 to 14.7)']
    again = ['1,000', 'KD', '20,000 → 40,000', '93.0 ± 2.8', '94.0 ± 2.8', '+1.0']  # one point each, so no interval
    assert rows[2:] == [doubled, again]


def test_a_stage_that_was_not_run_is_named():
    tables = long_tables.long_tables({}, {})
    assert [table.split('`')[1] for table in tables] == ['tuned_1000', 'wide_1000', 'every_1000', 'flat_1000']
    assert all(table.startswith('Not run yet: variant ') for table in tables)


def test_a_wide_teacher_has_a_table_of_its_own():
    wide = {'kd': seeds([1, 0, 0, 0], [1, 0, 0, 0]), 'dkd': seeds([1, 1, 0, 0], [1, 1, 0, 0])}
    rows = cells(long_tables.wide_table({'wide_10000': wide}))
    assert [row[:3] for row in rows[2:]] == [['DKD', '–', '–'], ['KD', '–', '–']]
    assert [row[3] for row in rows[2:]] == ['50.0 ± 0.0', '25.0 ± 0.0']
