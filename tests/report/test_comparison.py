"""Gains, marks, and the baseline of a table."""

import pytest

from kd_jax.report.comparison import Measured, apart, best_of, find_baseline, gain_over, marks, teachers
from kd_jax.report.result_files import Measure


def measure(*numbers, first=0):
    return Measure(dict(enumerate(numbers, first)))


def run(*inits, **networks):
    """The results of a run whose networks are `networks` and a frozen one from each of `inits`."""
    frozen = {f'frozen{i}': {'update': 'frozen', 'init': init} for i, init in enumerate(inits)}
    return {0: {'config': {'networks': {**frozen, **networks}}}}


@pytest.mark.parametrize(('better', 'sign'), [('lower', 1), ('higher', -1)])
def test_a_gain_is_positive_where_the_number_is_better(better, sign):
    gain = gain_over(measure(6, 7, 8), measure(10, 12, 14), better)
    assert gain.by_seed.by_seed == {0: sign * 4, 1: sign * 5, 2: sign * 6}
    assert gain.mean == sign * 5
    assert gain.is_certain


def test_the_interval_is_students_t_over_the_common_seeds():
    gain = gain_over(measure(8, 6, 9), measure(6, 7, 8), 'higher')
    # 2, -1, 1: mean 2/3 and standard deviation sqrt(7/3); t of 2 degrees of freedom at 97.5% is 4.3027
    half = 4.3027 * (7 / 3) ** 0.5 / 3**0.5
    assert gain.interval == pytest.approx((2 / 3 - half, 2 / 3 + half), rel=1e-4)
    assert not gain.is_certain


def test_one_common_seed_or_none_makes_nothing_certain():
    one, none = (gain_over(measure(6, 7), measure(10, 12, first=first), 'lower') for first in (1, 5))
    assert (one.mean, one.interval, one.is_certain) == (10 - 7, None, False)
    assert (none.mean, none.by_seed, none.is_certain) == (11 - 6.5, None, False)


def test_equal_gains_of_several_seeds_make_nothing_certain():
    gain = gain_over(measure(57, 64), measure(56, 63), 'lower')
    assert (gain.mean, gain.interval, gain.is_certain) == (-1, None, False)


def test_a_number_is_set_apart_by_metric_split_or_the_examples_of_a_count():
    full, small, unknown = (Measured('last.test.net.errors', n) for n in (100, 10, None))
    valid, share = Measured('last.valid.net.errors', 100), Measured('last.test.net.accuracy')
    column = [small, full, valid, share, unknown, None]
    assert apart(column, 0) == ['', 'examples', 'examples', 'metric', '', '']
    assert apart(column, 1) == ['examples', '', 'examples', 'metric', '', '']
    assert apart(column, 5) == apart(column, None)  # the baseline has no number
    assert apart([small, full, full], None) == ['examples', '', '']
    assert apart([None], None) == ['']


def test_marks_need_two_numbers_and_a_better_way():
    assert marks([measure(1), None], 'lower') == ['', '']
    assert marks([measure(1), measure(2)], None) == ['', '']
    assert marks([measure(1), None, measure(2)], 'lower') == ['best', '', '']
    assert marks([measure(1), measure(2), measure(2)], 'higher') == ['', 'best', 'best']


def test_of_one_seed_each_only_the_best_is_marked():
    assert marks([measure(90), measure(91), measure(70)], 'higher') == ['', 'best', '']


def test_a_teacher_teaches_and_learns_from_no_network():
    results = {
        'big': run(net={}),
        'assistant': run('run:big', net={}),
        'small': run('run:assistant@best/net', net={}),
        'odd': run('torch:file.pt', net={}),
    }
    assert teachers(results) == {'big'}


def test_the_baseline_is_the_row_of_that_name_or_the_only_net_trained_alone():
    results = {
        'big': run(net={}),
        'alone': run(net={}),
        'kd': run('run:big', net={}),
        'tuned': run(net={'init': 'run:kd'}),
    }
    rows = {name: name for name in results}
    assert find_baseline(rows, results) == 'alone'
    assert find_baseline({**rows, 'first row': 'baseline'}, results) == 'first row'
    assert find_baseline(rows, {**results, 'tuned': run(net={})}) is None  # two fit
    assert find_baseline({'a': 'baseline', 'b': 'baseline'}, results) is None
    assert find_baseline({'kd': 'kd'}, results) is None
    assert find_baseline({'absent': 'absent'}, results) is None


def test_the_best_is_that_on_the_seeds_that_all_have():
    hard, easy = measure(9, 19, 29), measure(11)  # seed 0 is easier than the others
    assert best_of([hard, easy], 'lower') == [0]
    assert best_of([hard, easy], 'higher') == [1]
    assert best_of([easy, hard, measure(9, 0)], 'lower') == [1, 2]
    assert best_of([hard, measure(1, first=5)], 'lower') == []
    assert best_of([], 'lower') == []


def test_marks_compare_the_seeds_that_all_have():
    assert marks([measure(9, 19, 29), None, measure(11)], 'lower') == ['best', '', '']
    assert marks([measure(9, 19, 29), measure(1, first=5)], 'lower') == ['', '']
    # On both seeds of the last one the first is better, 3 and 3.1 on average; by all three it is level: 0, 0.2, -4.
    assert marks([measure(3, 3, 9), measure(3, 3.2, 5), measure(4, 4)], 'lower') == ['best', 'level', '']
