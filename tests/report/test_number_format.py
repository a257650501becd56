import pytest

from kd_jax.report import number_format
from kd_jax.report.result_files import Measure


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
    assert number_format.kind_of(path) == kind


def test_counts_have_one_decimal_over_seeds_and_none_alone():
    assert number_format.measured(Measure({0: 72, 1: 74, 2: 76}), 'count') == '74.0 ± 2.0'
    assert number_format.measured(Measure({0: 146}), 'count') == '146'


def test_fractions_are_percentages_with_two_decimals():
    assert number_format.measured(Measure({0: 0.98, 1: 0.99}), 'fraction') == '98.50 ± 0.71'  # sd = 1 / sqrt(2) points
    assert number_format.heading('accuracy', 'fraction') == 'accuracy (%)'


def test_a_papers_number_keeps_the_digits_the_paper_gave():
    assert [number_format.quoted(value, 'fraction') for value in (0.589, 0.473, 0.6)] == ['58.9', '47.3', '60']
    assert number_format.quoted(67, 'count') == '67'


def test_differences_carry_their_sign_except_zero():
    assert number_format.signed(7.3, 'count') == '+7.3'
    assert number_format.signed(-72.0, 'count') == '−72'
    assert number_format.signed(0.0, 'count') == '0'
    assert number_format.signed(-0.0104, 'fraction') == '−1.04'
    assert number_format.signed(-0.000001, 'fraction') == '0.00'


def test_small_numbers_keep_two_digits_that_count():
    assert number_format.plain(0.000042, 'number') == '0.000042'
    assert number_format.plain(0.0508, 'number') == '0.0508'
    assert number_format.plain(20.0, 'number') == '20'


def test_nothing_is_a_dash():
    assert {
        number_format.plain(None, 'count'),
        number_format.measured(None, 'count'),
        number_format.quoted(None, 'count'),
    } == {'–'}
    assert {number_format.signed(None, 'count'), number_format.duration(None)} == {'–'}


def test_durations():
    cases = {
        4.26: '4.3 s',
        59.4: '59 s',
        59.7: '1 min 00 s',
        80.2: '1 min 20 s',
        3599.9: '1 h 00 min',
        7500: '2 h 05 min',
    }
    assert {seconds: number_format.duration(seconds) for seconds in cases} == cases
