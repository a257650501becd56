import pytest

from kd_jax.report import format
from kd_jax.report.results import Measure


@pytest.mark.parametrize(
    ('path', 'kind'),
    [
        ('last.test.student.errors', 'count'),
        ('analyses.bias.after.accuracy', 'fraction'),
        ('last.test.student.agreement', 'fraction'),
        ('analyses.accuracies.accuracy.3', 'fraction'),
        ('last.test.student.nll', 'number'),
        ('seconds', 'seconds'),
    ],
)
def test_the_last_name_of_a_path_tells_what_the_number_is(path, kind):
    assert format.kind_of(path) == kind


def test_counts_have_one_decimal_over_seeds_and_none_alone():
    assert format.measured(Measure({0: 72, 1: 74, 2: 76}), 'count') == '74.0 ± 2.0'
    assert format.measured(Measure({0: 146}), 'count') == '146'


def test_fractions_are_percentages_with_two_decimals():
    assert format.measured(Measure({0: 0.98, 1: 0.99}), 'fraction') == '98.50 ± 0.71'  # sd = 1 / sqrt(2) points
    assert format.heading('accuracy', 'fraction') == 'accuracy (%)'


def test_a_papers_number_keeps_the_digits_the_paper_gave():
    assert [format.quoted(value, 'fraction') for value in (0.589, 0.473, 0.6)] == ['58.9', '47.3', '60']
    assert format.quoted(67, 'count') == '67'


def test_differences_carry_their_sign_except_zero():
    assert format.signed(7.3, 'count') == '+7.3'
    assert format.signed(-72.0, 'count') == '−72'
    assert format.signed(0.0, 'count') == '0'
    assert format.signed(-0.0104, 'fraction') == '−1.04'
    assert format.signed(-0.000001, 'fraction') == '0.00'


def test_small_numbers_keep_two_digits_that_count():
    assert format.plain(0.000042, 'number') == '0.000042'
    assert format.plain(0.0508, 'number') == '0.0508'
    assert format.plain(20.0, 'number') == '20'


def test_nothing_is_a_dash():
    assert {format.plain(None, 'count'), format.measured(None, 'count'), format.quoted(None, 'count')} == {'–'}
    assert {format.signed(None, 'count'), format.duration(None)} == {'–'}


def test_durations():
    cases = {
        4.26: '4.3 s',
        59.4: '59 s',
        59.7: '1 min 00 s',
        80.2: '1 min 20 s',
        3599.9: '1 h 00 min',
        7500: '2 h 05 min',
    }
    assert {seconds: format.duration(seconds) for seconds in cases} == cases
