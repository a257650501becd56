from kd_jax.report import number_format
from kd_jax.report.result_files import Measure


def test_counts_have_one_decimal_over_seeds_and_none_alone():
    assert number_format.measured(Measure({0: 72, 1: 74, 2: 76}), 'count') == '74.0 ± 2.0'
    assert number_format.measured(Measure({0: 146}), 'count') == '146'


def test_large_numbers_have_no_decimals():
    for unit in ('count', 'number', 'seconds'):
        assert number_format.measured(Measure({0: 937_728, 1: 937_730}), unit) == '937,729 ± 1'  # sd = sqrt(2)
        assert number_format.measured(Measure({0: 686, 1: 688}), unit) == '687.0 ± 1.4'


def test_fractions_are_percentages_with_two_decimals():
    assert number_format.measured(Measure({0: 0.98, 1: 0.99}), 'fraction') == '98.50 ± 0.71'  # sd = 1 / sqrt(2) points
    assert number_format.heading('accuracy', 'fraction') == 'accuracy (%)'


def test_a_unit_of_its_own_is_named_and_an_ordinary_one_is_not():
    assert number_format.heading('depth error', 'metres') == 'depth error (metres)'
    assert [number_format.heading('x', unit) for unit in ('count', 'nats', 'number', 'seconds')] == ['x'] * 4
    assert number_format.named('errors', 146.0, 'count') == '146 errors'
    assert number_format.named('accuracy', 0.98541, 'fraction') == 'accuracy 98.54%'
    assert number_format.named('rmse', 0.25, 'metres') == 'rmse 0.250 metres'
    assert number_format.named('mse', None, 'number') == 'mse –'


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
