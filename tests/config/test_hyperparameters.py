import jax
import numpy as np
import pytest

from kd_jax.config import hyperparameters
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Fraction, NonNegative, Positive, parse_number, value_at


def at(progress, **config):
    name, numbers = parse_number(config, float, 'x')
    return float(value_at(name, numbers, np.float32(progress)))


@pytest.mark.parametrize(
    ('progress', 'expected'),
    [(0.0, 2.0), (0.2, 2.0), (0.4, 5.0), (0.6, 8.0), (1.0, 8.0)],
)
def test_a_line_is_level_outside_its_share_of_the_run(progress, expected):
    line = at(progress, schedule='linear', start=2.0, end=8.0, begin=0.2, until=0.6)
    np.testing.assert_allclose(line, expected, rtol=1e-6)


def test_a_line_spans_the_whole_run_by_default():
    for progress in (0.0, 0.25, 1.0):
        assert at(progress, schedule='linear', start=0.0, end=4.0) == 4.0 * progress


@pytest.mark.parametrize(
    ('progress', 'expected'),
    # Half-way through the warm-up: half the peak. Afterwards: 2 + (10 - 2) * (1 + cos(pi * share)) / 2.
    [(0.0, 0.0), (0.1, 5.0), (0.2, 10.0), (0.6, 6.0), (0.8, 2 + 8 * (1 - np.sqrt(0.5)) / 2), (1.0, 2.0)],
)
def test_a_cosine_warms_up_to_its_peak_and_falls_to_its_end(progress, expected):
    number = at(progress, schedule='cosine', peak=10.0, end=2.0, warmup=0.2)
    np.testing.assert_allclose(number, expected, rtol=1e-5, atol=1e-6)


def test_a_cosine_without_warmup_starts_at_its_peak_and_ends_at_zero():
    assert at(0.0, schedule='cosine', peak=0.1) == pytest.approx(0.1)
    assert at(0.5, schedule='cosine', peak=0.1) == pytest.approx(0.05)
    assert at(1.0, schedule='cosine', peak=0.1) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize(
    ('progress', 'expected'), [(0.0, 8.0), (0.49, 8.0), (0.5, 2.0), (0.74, 2.0), (0.75, 0.5), (1.0, 0.5)]
)
def test_steps_multiply_at_each_of_their_shares(progress, expected):
    assert at(progress, schedule='steps', start=8.0, at=(0.5, 0.75), factor=0.25) == pytest.approx(expected)


def test_a_constant_is_itself():
    assert parse_number(3, Positive, 'x') == ('', 3.0)
    assert value_at('', 3.0, 0.7) == 3.0


def test_a_schedules_numbers_may_be_traced():
    traced = jax.jit(lambda numbers, progress: value_at('cosine', numbers, progress))
    for peak in (1.0, 3.0):
        np.testing.assert_allclose(traced({'peak': peak, 'warmup': 0.5}, 0.25), peak / 2)


@pytest.mark.parametrize(
    ('config', 'annotation', 'message'),
    [
        (0.0, Positive, 'x is 0, but it must be greater than 0'),
        (float('nan'), Positive, 'x is nan'),
        (-0.1, NonNegative, 'x is -0.1, but it must not be negative'),
        (1.5, Fraction, 'x is 1.5, but it must lie between 0 and 1'),
        (
            {'schedule': 'linear', 'start': 1.0, 'end': -2.0},
            Positive,
            'x.end is -2, but it must be greater than 0',
        ),
        ({'schedule': 'cosine', 'peak': 4.0}, Positive, 'x.end is 0, but it must be greater than 0'),
        (
            {'schedule': 'cosine', 'peak': 4.0, 'end': 1.0, 'warmup': 0.1},
            Positive,
            'x at the start of its warmup is 0',
        ),
        ({'schedule': 'cosin', 'peak': 4.0}, float, "no schedule 'cosin'. Did you mean 'cosine'"),
        ({'schedule': 'cosine', 'peek': 4.0}, float, "'cosine' takes no 'peek'. Did you mean 'peak'"),
        ({'schedule': 'linear', 'start': 4.0}, float, "'linear' needs end"),
        ({'schedule': 'cosine', 'peak': 'high'}, float, "arguments of schedule 'cosine' must be numbers"),
        ({'schedule': 'steps', 'start': 1.0, 'at': 0.5}, float, "arguments of schedule 'steps' must be numbers"),
    ],
)
def test_a_wrong_number_is_refused(config, annotation, message):
    with pytest.raises(UserError) as error:
        parse_number(config, annotation, 'x')
    assert message in str(error.value)


def test_ranges_allow_their_ends():
    assert parse_number(0.0, NonNegative, 'x')[1] == 0.0
    assert parse_number(0.0, Fraction, 'x')[1] == 0.0
    assert parse_number(1.0, Fraction, 'x')[1] == 1.0
    assert (
        parse_number({'schedule': 'cosine', 'peak': 0.1, 'end': 0.0, 'warmup': 0.1}, NonNegative, 'x')[1]['end'] == 0.0
    )


def test_what_counts_as_a_number():
    numbers, others = (1, 2.5, {'schedule': 'linear'}), (True, 'x', None, (1.0, 2.0), {'start': 1.0})
    assert all(hyperparameters.is_number(number) for number in numbers)
    assert not any(hyperparameters.is_number(other) for other in others)


@pytest.mark.parametrize(
    ('schedule', 'said'),
    [
        (
            dict(schedule='linear', start=1, end=2, begin=0.5, until=0.5),
            'begin is 0.5 and until is 0.5; until must be greater',
        ),
        (dict(schedule='cosine', peak=1.0, warmup=1.0), 'warmup is 1, but it must be at least 0 and less than 1'),
        (dict(schedule='cosine', peak=float('nan')), 'x.peak is nan, but it must be finite'),
    ],
)
def test_schedules_that_would_divide_by_nothing_are_refused(schedule, said):
    with pytest.raises(UserError, match=said):
        parse_number(schedule, float, 'x')
