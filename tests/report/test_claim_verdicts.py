"""Verdicts on claims, their cost and their command."""

import pytest

from kd_jax.report.claim_verdicts import command_for, doubt_about, judged, runs_of_claim, seconds_of, unmet
from kd_jax.report.result_files import Measure


@pytest.mark.parametrize(
    ('rule', 'value', 'verdict', 'words'),
    [
        ({'at_most': 80}, 80.0, 'reproduced', 'at most 80'),
        ({'at_most': 80}, 80.2, 'not reproduced', 'at most 80'),
        ({'at_least': 2.5, 'at_most': 4}, 3.0, 'reproduced', 'from 2.5 to 4'),
        ({'at_least': 2.5, 'at_most': 4}, 2.0, 'not reproduced', 'from 2.5 to 4'),
        ({'at_least': -72}, -80.0, 'not reproduced', 'at least −72'),
        ({'above': 0}, 0.0, 'not reproduced', 'above 0'),
        ({'above': 0, 'below': 2}, 2.0, 'not reproduced', 'above 0 and below 2'),
        ({'above': 0, 'at_most': 2}, 2.0, 'reproduced', 'above 0 and at most 2'),
        ({'at_least': 8}, None, 'open', 'at least 8'),
    ],
)
def test_the_number_decides_by_the_rule(rule, value, verdict, words):
    assert judged({'rule': rule}, value, None, 'count') == (verdict, words)


def test_a_fraction_is_written_in_percent_and_a_regime_is_named():
    entry = {'rule': {'at_least': 0.8}, 'regime': 'an unlabelled transfer set'}
    assert judged(entry, 0.95, None, 'fraction') == (
        'reproduced in another regime (an unlabelled transfer set)',
        'at least 80%',
    )
    assert judged(entry, 0.7, None, 'fraction').verdict == 'not reproduced'


def test_a_claim_that_is_not_the_papers_holds_or_does_not():
    entry = {'rule': {'above': 0}, 'own': True}
    assert judged(entry, 0.1, None, 'fraction').verdict == 'holds'
    assert judged(entry, -0.1, None, 'fraction').verdict == 'does not hold'


def test_an_interval_on_both_sides_of_the_rule_leaves_it_open():
    rule = {'rule': {'at_most': 80}}
    assert judged(rule, 75.0, (70.0, 79.0), 'count').rule == 'at most 80'
    assert judged(rule, 75.0, (68.5, 81.5), 'count') == (
        'reproduced, not certain',
        'at most 80; the 95% interval, 68.5 to 81.5, leaves it open',
    )
    assert 'leaves it open' in judged(rule, 85.0, (79.0, 91.0), 'count').rule
    assert judged(rule, 85.0, (79.0, 91.0), 'count').verdict == 'not reproduced, not certain'
    regime = rule | {'regime': 'jittered images'}
    assert judged(regime, 75.0, (68.5, 81.5), 'count').verdict.endswith('another regime (jittered images), not certain')
    assert judged(rule, 85.0, (82.0, 88.0), 'count') == ('not reproduced', 'at most 80')
    # Both ends lie outside, on opposite sides, but the number inside: not all of the interval meets the rule.
    assert 'leaves it open' in judged({'rule': {'at_least': 1, 'at_most': 2}}, 1.5, (0.0, 3.0), 'count').rule
    # The number and both ends lie outside, but some of the interval inside.
    assert judged({'rule': {'above': -1, 'below': 1}}, 1.5, (-2.0, 5.0), 'count').verdict.endswith(', not certain')
    assert judged({'rule': {'above': -1, 'below': 1}}, 1.5, (1.0, 2.0), 'count').verdict == 'not reproduced'


def test_a_doubt_makes_a_verdict_not_certain_and_is_said_instead_of_the_interval():
    rule = {'rule': {'at_most': 80}}
    for interval in (None, (70.0, 79.0), (68.5, 81.5)):
        assert judged(rule, 75.0, interval, 'count', doubt='who knows') == (
            'reproduced, not certain',
            'at most 80; who knows',
        )


def test_a_number_without_an_interval_is_doubted_unless_the_config_sets_it():
    entry = {'value': 'student:last.test.student.errors'}
    assert doubt_about(entry, Measure({0: 1.0}), None) == 'one seed gives it, so there is no 95% interval'
    equal = 'every seed gives the same number, so there is no 95% interval'
    assert doubt_about(entry, Measure({0: 1.0, 1: 1.0}), None) == equal
    assert doubt_about(entry, None, None) == 'there is no 95% interval'
    assert doubt_about(entry, Measure({0: 1.0, 1: 2.0}), (-4.9, 7.9)) == ''
    of_config = {'value': 'student:parameters.student', 'high': 'teacher:parameters.teacher'}
    assert doubt_about(of_config, Measure({0: 0.5}), None) == ''
    assert doubt_about(of_config | {'high': 'teacher:seconds'}, Measure({0: 0.5}), None) != ''  # a seed changes a part


def test_a_claim_is_open_where_its_condition_is_not_known_to_be_met():
    text = 'the teacher learned nothing'
    entry = {'rule': {'at_least': 1}, 'provided': {'value': 'teacher:y', 'above': 'random:y', 'otherwise': text}}

    def results(teacher, random):
        both = {'teacher': teacher, 'random': random}
        return {run: {seed: {'y': y} for seed, y in enumerate(own)} for run, own in both.items()}

    assert unmet({'rule': {'at_least': 1}}, {}) == ''
    unknown = 'there is no seed for which both teacher and random have run'
    assert unmet(entry, {}) == unmet(entry, results([2], [])) == unknown
    assert judged(entry, None, None, 'count', unknown) == ('open', 'at least 1')
    assert unmet(entry, results([2], [1])) == ''
    assert unmet(entry, results([1], [1])) == unmet(entry, results([1], [2])) == text
    # Differences of 1 and 1.2 have an interval from -0.17 to 2.37 (t = 12.7), those of three seeds lie above 0.
    assert unmet(entry, results([2, 2.2], [1, 1])) == text
    assert unmet(entry, results([2, 2.2, 2.1], [1, 1, 1])) == ''
    assert unmet(entry, results([2, 2], [1, 1])) == text  # equal differences have no interval
    assert judged(entry, 3.0, None, 'count', text) == (f'open: {text}', 'at least 1')
    assert judged(entry, 3.0, None, 'count').verdict == 'reproduced'
    assert runs_of_claim(entry | {'value': 'student:y'}, []) == ['student', 'teacher', 'random']


def test_a_claim_without_a_rule_has_no_verdict():
    assert judged({}, 3.0, None, 'count') == ('', '')


def test_the_cost_of_a_claim_has_every_run_that_it_needs_once():
    def result(seconds, *needs):
        return {'seconds': seconds, 'config': {'networks': {run: {'init': f'run:{run}'} for run in needs}}}

    results = {
        'teacher': {0: result(100.0), 1: result(200.0)},
        'assistant': {0: result(10.0, 'teacher'), 1: result(20.0, 'teacher')},
        'student': {0: result(1.0, 'assistant', 'teacher'), 1: result(2.0, 'assistant', 'teacher')},
        'other': {0: result(5000.0, 'teacher')},
    }
    assert seconds_of(['student'], results) == 333
    assert seconds_of(['student', 'teacher'], results) == 333
    assert seconds_of(['gone'], results) == 0


def test_the_cost_of_a_claim_has_the_runs_whose_results_it_reads():
    # A result holds the value that was read, and the config of the study where it was read.
    weights = {'student': 'result:teacher.last.test.net.accuracy', 'teacher': 'result:first.steps'}
    results = {
        run: {0: {'seconds': s, 'config': {'terms': {'hard': {'weight': 0.9}}}}}
        for run, s in (('first', 1.0), ('teacher', 20.0), ('student', 300.0), ('other', 4000.0))
    }
    asked = {run: {'terms': {'hard': {'weight': weights.get(run, 1.0)}}} for run in results}
    assert seconds_of(['student'], results, asked) == 321
    assert seconds_of(['student'], results) == 300  # an earlier version did not write the configs of the study


def test_a_claim_is_about_the_runs_that_it_names():
    entry = {'value': 'student:last.test.student.errors', 'low': 'baseline:last.test.student.errors'}
    assert runs_of_claim(entry, ['baseline', 'student']) == ['student', 'baseline']
    assert runs_of_claim({'runs': 'w30_t*'}, ['w30_t1', 'w30_hard', 'w30_t2']) == ['w30_t1', 'w30_t2']


def test_the_command_is_that_of_the_study_for_these_runs():
    study = {'command': "python -m experiments.run --config=configs/a.py:paper '--only=w*' --workdir=x"}
    wanted = "python -m experiments.run --config=configs/a.py:paper --only='teacher,student'"
    assert command_for(['teacher', 'student'], study) == wanted
    assert command_for(['teacher'], study).endswith('--only=teacher')
    assert command_for(['teacher'], {}) == ''
    assert command_for(['teacher'], {'command': 'python "'}) == ''


def test_the_command_keeps_what_the_command_line_changed_in_the_config():
    options = "--workers=2 --config.seeds=1 --config=configs/a.py --workdir=x '--config.runs.a.note=two words' --plan"
    assert command_for(['a'], {'command': f'python -m experiments.run {options}'}) == (
        "python -m experiments.run --config=configs/a.py --config.seeds=1 '--config.runs.a.note=two words' --only=a"
    )


def test_the_command_knows_both_forms_of_an_option():
    study = {'command': 'python -m experiments.run --workdir x --config configs/a.py:paper --config.seeds=1'}
    wanted = 'python -m experiments.run --config=configs/a.py:paper --config.seeds=1 --only=a'
    assert command_for(['a'], study) == wanted
    assert command_for(['a'], {'command': 'python -m experiments.run --config'}) == ''
    assert command_for(['a'], {'command': 'python -m experiments.run --config.seeds=1'}) == ''


def test_the_runs_from_which_one_was_chosen_belong_to_a_claim():
    entry = dict(kind='difference', value='t4:x.y', low='hard:x.y', candidates=['t2', 't4', 't8'])
    assert runs_of_claim(entry, []) == ['t4', 'hard', 't2', 't8']
