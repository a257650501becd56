import statistics

import pytest

from kd_jax.report.paper_claims import study_claims


def test_a_part_without_a_finite_number_on_a_seed_that_ran_says_so(loaded):
    study, results = loaded
    results['student'][2]['last']['test']['student']['errors'] = None  # what a result file has for infinity
    few = {'kind': 'number', 'value': 'student:last.test.student.errors'}
    study['report']['claims']['few'] = few
    for claim in study_claims(study, results):
        assert '“distilled” (6.5 ± 0.7, 2 of 3 seeds)' in claim.sentence
        assert '“baseline” (11.0 ± 1.4)' in claim.sentence or claim.name == 'few'  # of the two seeds
    del results['student'][2]
    assert all('of 3 seeds' not in claim.sentence for claim in study_claims(study, results))


def test_a_share_is_weighed_on_the_means_and_seed_by_seed(loaded):
    kept = study_claims(*loaded)[0]
    # means: (7 - 12) / (4 - 12) = 0.625; seeds: (6-10)/(4-10), (7-12)/(4-12), (8-14)/(4-14) = 2/3, 5/8, 3/5
    assert kept.of_means == pytest.approx(0.625)
    assert kept.seedwise.by_seed == pytest.approx({0: 2 / 3, 1: 5 / 8, 2: 3 / 5})
    assert '62.5% of the way from “baseline” (12.0 ± 2.0) to “teacher” (4.0 ± 0.0)' in kept.sentence
    # the quantile of Student's t with two degrees of freedom is 4.303: 63.1 ± 4.303 * 3.37 / sqrt(3)
    assert 'seed by seed 63.1% ± 3.4%, 95% interval 54.7% to 71.4% (3 seeds). The paper reports 80%.' in kept.sentence


def test_a_ratio_is_taken_seed_by_seed(loaded):
    study, results = loaded
    study['report']['claims']['kept']['kind'] = 'ratio'
    kept = study_claims(study, results)[0]
    # means: 7 / 4; seeds: 6/4, 7/4, 8/4, with the standard deviation 1/4
    assert kept.of_means == pytest.approx(1.75)
    assert kept.seedwise.by_seed == pytest.approx({0: 1.5, 1: 1.75, 2: 2.0})
    assert '“distilled” (7.0 ± 1.0) is 175.0% of “teacher” (4.0 ± 0.0); seed by seed 175.0% ± 25.0%' in kept.sentence
    assert (kept.ours, kept.papers) == ('175.00 ± 25.00%', '80%')
    for result in results['teacher'].values():
        result['last']['test']['student']['errors'] = 0
    kept = study_claims(study, results)[0]
    assert kept.of_means is None
    assert 'is zero, so the ratio to it is undefined' in kept.sentence


def test_a_difference_is_taken_seed_by_seed(loaded):
    gain = study_claims(*loaded)[1]
    # 6 - 10, 7 - 12, 8 - 14 = -4, -5, -6: mean -5 and standard deviation 1, so five deviations from 0
    assert gain.seedwise.by_seed == {0: -4, 1: -5, 2: -6}
    assert gain.sentence.startswith('−5.0 ± 1.0 errors from “baseline” (12.0 ± 2.0) to “distilled” (7.0 ± 1.0)')
    assert '5.0 standard deviations' in gain.sentence
    assert gain.sentence.endswith('The paper reports −72.')


def test_what_the_paper_says_in_words_is_quoted_and_is_no_number(loaded):
    loaded[0]['report']['claims']['gain']['paper'] = 'far fewer errors'
    gain = study_claims(*loaded)[1]
    assert (gain.papers, gain.paper) == ('far fewer errors', None)
    assert gain.sentence.endswith('The paper reports far fewer errors.')


def test_runs_without_a_common_seed_are_compared_by_their_means(loaded):
    study, results = loaded
    results['baseline'] = {seed + 10: result for seed, result in results['baseline'].items()}
    study['report']['claims']['gain']['rule'] = {'below': 0}
    kept, gain = study_claims(study, results)
    assert kept.seedwise is None
    assert kept.of_means == pytest.approx(0.625)
    assert gain.of_means == pytest.approx(-5)
    assert 'no seed in common' in gain.sentence
    assert 'standard deviations' not in gain.sentence
    assert gain.verdict == 'open: the runs have no seed in common'  # the means may differ because the seeds do


def test_a_difference_is_counted_in_its_own_standard_deviations(loaded):
    study, results = loaded
    # 8 - 10, 8 - 12, 8 - 14 = -2, -4, -6: mean -4 and standard deviation 2, so two deviations from 0
    for seed, errors in enumerate((8, 8, 8)):
        results['student'][seed]['last']['test']['student']['errors'] = errors
    assert ': 2.0 standard deviations.' in study_claims(study, results)[1].sentence


def test_only_the_common_seeds_are_paired(loaded):
    study, results = loaded
    del results['baseline'][0]
    gain = study_claims(study, results)[1]
    assert statistics.fmean(gain.seedwise.by_seed.values()) == pytest.approx(-5.5)  # 7 - 12, 8 - 14
    assert 'over 2 seeds' in gain.sentence


def test_number_verdict_and_sentence_are_of_the_common_seeds(loaded):
    study, results = loaded
    results['student'] = {0: results['student'][0]}  # 6 errors, where the baseline has 10, 12, 14 and the teacher 4
    results['student'][0]['last']['test']['student']['errors'] = 11
    kept, gain = (study['report']['claims'][name] | {'rule': {'below': 0}} for name in ('kept', 'gain'))
    ratio = {**kept, 'kind': 'ratio', 'high': kept['low'], 'rule': {'above': 1}}
    del ratio['low']
    study['report']['claims'] = {'kept': kept, 'gain': gain, 'ratio': ratio}
    kept, gain, ratio = study_claims(study, results)
    # on seed 0: 11 errors instead of 10, so one more; (11 - 10) / (4 - 10) of the way to the teacher; 11 / 10
    assert (gain.of_means, gain.ours, gain.verdict) == (1, '+1', 'not reproduced, not certain')
    assert gain.sentence.startswith('+1 errors from “baseline” (10) to “distilled” (11), on one seed.')
    assert (kept.of_means, kept.verdict) == (pytest.approx(-1 / 6), 'reproduced, not certain')
    assert '“distilled” (11) is −16.7% of the way from “baseline” (10) to “teacher” (4), on one seed.' in kept.sentence
    assert (ratio.of_means, ratio.verdict) == (pytest.approx(1.1), 'reproduced, not certain')
    assert '“distilled” (11) is 110.0% of “baseline” (10), on one seed.' in ratio.sentence


def test_a_gain_of_nothing_cannot_be_shared(loaded):
    study, results = loaded
    results['teacher'] = results['baseline']
    kept = study_claims(study, results)[0]
    assert kept.of_means is None
    assert kept.seedwise is None
    assert 'the gain is zero' in kept.sentence


def test_a_seed_without_a_gain_is_left_out_and_counted(loaded):
    study, results = loaded
    results['teacher'][0] = results['baseline'][0]
    kept = study_claims(study, results)[0]
    assert kept.seedwise.by_seed == pytest.approx({1: 5 / 8, 2: 3 / 5})
    assert '(2 seeds; 1 seed without any gain left out)' in kept.sentence


def test_claims_on_one_seed_say_so(loaded):
    study, results = loaded
    kept, gain = study_claims(study, {run: {1: seeds[1]} for run, seeds in results.items()})
    assert '“distilled” (7) is 62.5% of the way from “baseline” (12) to “teacher” (4), on one seed.' in kept.sentence
    assert '−5 errors from “baseline” (12) to “distilled” (7), on one seed.' in gain.sentence


def test_a_verdict_from_one_seed_is_not_certain(loaded):
    study, results = loaded
    kept, gain = (study['report']['claims'][name] for name in ('kept', 'gain'))
    kept['rule'], gain['rule'] = {'at_least': 0.6}, {'below': 0}
    path = 'student:last.test.student.errors'
    study['report']['claims']['few'] = {'kind': 'number', 'value': path, 'rule': {'at_most': 80}}
    for claim in study_claims(study, {run: {1: seeds[1]} for run, seeds in results.items()}):
        assert claim.verdict == 'reproduced, not certain'
        assert claim.rule.endswith('; one seed gives it, so there is no 95% interval')
    for seed in (0, 1):  # the teacher gains nothing there, so that the share is that of one seed
        results['teacher'][seed] = results['baseline'][seed]
    assert study_claims(study, results)[0].seedwise.n == 1
    assert study_claims(study, results)[0].verdict.endswith(', not certain')


def test_a_claim_whose_seeds_are_equal_is_not_certain(loaded):
    study, results = loaded
    for seed, errors in enumerate((9, 11, 13)):  # one error fewer than the baseline on every seed
        results['student'][seed]['last']['test']['student']['errors'] = errors
    study['report']['claims']['gain']['rule'] = {'below': 0}
    gain = study_claims(study, results)[1]
    assert (gain.ours, gain.verdict) == ('−1.0 ± 0.0', 'reproduced, not certain')
    assert gain.rule == 'below 0; every seed gives the same number, so there is no 95% interval'
    study['report']['claims']['gain'] |= {'value': 'student:config.t', 'low': 'baseline:config.t', 'rule': {'above': 0}}
    assert study_claims(study, results)[1].verdict == 'reproduced'  # no seed changes a number of the config


def test_a_claim_about_a_missing_run_stays_open(loaded):
    study, results = loaded
    del results['teacher']
    kept = study_claims(study, results)[0]
    assert kept.of_means is None
    assert 'Open: teacher has not been run yet.' in kept.sentence


def test_two_numbers_of_one_run_are_told_apart(loaded):
    study, results = loaded
    study['report']['claims'] = {
        'self': {'kind': 'difference', 'value': 'student:last.test.student.count', 'low': 'student:seconds'}
    }
    [claim] = study_claims(study, results)
    words = 'from “student, seconds” (60.0 ± 0.0) to “student, count of student on test examples” (100.0 ± 0.0)'
    assert words in claim.sentence


def test_a_number_is_held_against_a_rule_with_its_cost(loaded):
    study, results = loaded
    study['command'] = 'python -m experiments.run --config=configs/small.py'
    study['report']['claims'] = {
        'few': {
            'kind': 'number',
            'value': 'student:last.test.student.errors',
            'paper': 5,
            'rule': {'at_most': 6},
            'why': 'The teacher is better.',
            'evidence': {'teacher': 'teacher:last.test.student.errors'},
        }
    }
    [claim] = study_claims(study, results)
    assert (claim.ours, claim.papers, claim.verdict) == ('7.0 ± 1.0', '5', 'not reproduced, not certain')
    # Student's t of two degrees of freedom: 7 ± 4.303 / sqrt(3), so from 4.5 to 9.5
    assert claim.sentence == (
        'Errors of “distilled” (7.0 ± 1.0). The paper reports 5. The rule: at most 6; the 95% interval, 4.5 to 9.5, '
        'leaves it open.'
    )
    assert claim.why == 'The teacher is better. Measured: teacher 4.0 ± 0.0.'
    assert claim.seconds == 180  # three seeds of a minute
    assert claim.command == 'python -m experiments.run --config=configs/small.py --only=student'
    study['report']['claims']['few']['rule'] = {'at_most': 7}
    [claim] = study_claims(study, results)
    assert (claim.verdict, claim.why) == ('reproduced, not certain', '')


def test_a_difference_of_fractions_is_in_points(loaded):
    study, results = loaded
    path = 'last.test.student.accuracy'
    study['report']['claims'] = {
        'gain': {'kind': 'difference', 'value': f'student:{path}', 'low': f'baseline:{path}', 'rule': {'above': 0.04}}
    }
    [claim] = study_claims(study, results)
    assert (claim.ours, claim.verdict) == ('+5.00 ± 1.00 points', 'reproduced, not certain')


def test_a_sentence_names_a_metric_in_words(loaded):
    study, results = loaded
    for run, nll in (('student', 0.5), ('baseline', 0.75)):
        for result in results[run].values():
            result['last']['test']['student']['nll'] = nll
    path = 'last.test.student.nll'
    study['report']['claims'] = {
        'number': {'kind': 'number', 'value': f'student:{path}'},
        'gain': {'kind': 'difference', 'value': f'student:{path}', 'low': f'baseline:{path}'},
    }
    number, gain = study_claims(study, results)
    assert number.sentence.startswith('NLL of “student” (0.500')
    assert gain.sentence.startswith('−0.250 ± 0.000 NLL from “baseline”')


def test_a_best_setting_is_held_against_a_rule(loaded):
    study, results = loaded
    entry = {'kind': 'optimum', 'runs': '*', 'x': 'config.t', 'y': 'last.test.student.errors', 'rule': {'at_least': 8}}
    study['report']['claims'] = {'t': entry}
    [claim] = study_claims(study, results)
    assert (claim.of_means, claim.ours, claim.verdict) == (20.0, '20 (20 to 20)', 'reproduced, not certain')
    assert claim.rule.endswith('the same setting is the best in every resample, so the 95% interval has no width')
    assert claim.sentence.startswith(
        'The best t is 20 (20 to 20), by errors of student on test examples; 95% interval over 3 seeds.'
    )
    assert claim.seconds == 9 * 60
    for result in results['student'].values():
        result['config']['t'] = 20.0
    [claim] = study_claims(study, results)
    assert claim.verdict == 'open'
    assert 'several runs have the same t' in claim.sentence


def test_a_best_setting_is_open_before_the_whole_grid_has_run(loaded):
    study, results = loaded
    entry = {'kind': 'optimum', 'runs': '*', 'x': 'config.t', 'y': 'last.test.student.errors', 'rule': {'at_least': 8}}
    study |= {'seeds': 3, 'runs': {'baseline': {}, 'student': {}, 'teacher': {}}}
    study['report']['claims'] = {'t': entry}
    assert study_claims(study, results)[0].of_means == 20
    del results['baseline'], results['student'][2]
    [claim] = study_claims(study, results)
    assert (claim.of_means, claim.verdict) == (None, 'open')
    assert claim.sentence == 'Open: baseline, student (seed 2) have not been run yet. The rule: at least 8.'
    entry['runs'] = 'teacher'  # a grid of runs that are all there
    assert study_claims(study, results)[0].of_means == 20


def test_a_best_setting_is_certain_by_an_interval_of_three_seeds_on_one_side_of_the_rule(loaded):
    study, results = loaded
    entry = {'kind': 'optimum', 'runs': '*', 'x': 'config.t', 'y': 'last.test.student.errors', 'rule': {'at_least': 4}}
    study['report']['claims'] = {'t': entry}
    for seed, errors in enumerate((6, 7, 1)):  # the teacher has 4 errors on each seed, and the baseline 10 to 14
        results['student'][seed]['last']['test']['student']['errors'] = errors
    [claim] = study_claims(study, results)
    assert (claim.ours, claim.verdict) == ('20 (4 to 20)', 'reproduced')
    entry['rule'] = {'at_least': 8}
    assert study_claims(study, results)[0].verdict == 'reproduced, not certain'
    entry['rule'] = {'at_least': 4}
    two = {run: {seed: seeds[seed] for seed in (1, 2)} for run, seeds in results.items()}
    [claim] = study_claims(study, two)
    assert claim.verdict == 'reproduced, not certain'
    assert claim.rule == 'at least 4; 2 seeds are too few for a 95% interval'


def test_a_claim_about_a_missing_run_has_an_open_verdict(loaded):
    study, results = loaded
    del results['teacher']
    study['report']['claims']['kept']['rule'] = {'at_least': 0.8}
    kept = study_claims(study, results)[0]
    assert (kept.verdict, kept.ours, kept.seconds) == ('open', '', 0)
    assert kept.sentence == 'Open: teacher has not been run yet. The paper reports 80%. The rule: at least 80%.'
