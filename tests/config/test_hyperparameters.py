from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np
import pytest

from kd_jax.config import hyperparameters
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    Repeats,
    Temperature,
    check_option,
    is_static,
    parse_number,
    value_at,
)


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


@pytest.mark.parametrize(
    ('epochs', 'marks'), [(200, (60, 120, 160)), (240, (150, 180, 210)), (90, (30, 60)), (3, (1, 2))]
)
@pytest.mark.parametrize('epoch', [1, 7, 78, 391, 469])
def test_steps_fall_at_the_first_step_of_their_epoch_in_a_compiled_program_too(epochs, marks, epoch):
    total = epochs * epoch  # steps
    name, numbers = parse_number({'schedule': 'steps', 'start': 1.0, 'at': [m / epochs for m in marks]}, float, 'x')
    numbers = jax.tree.map(np.float32, numbers)
    now = jax.jit(lambda step: value_at(name, numbers, step / total))
    found = [float(now(np.int32(mark * epoch + off))) for mark in marks for off in (-1, 0)]
    assert found == pytest.approx([0.1**power for count in range(len(marks)) for power in (count, count + 1)], rel=1e-3)


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
        (1e-30, Temperature, 'x is 1e-30, but it must lie between 1e-6 and 1e6, because'),
        (-1.0, Temperature, 'x is -1, but it must be greater than 0'),
        (1e39, float, 'x is 1e+39, which becomes infinite in float32'),
        (-1e-39, float, 'x is -1e-39, which becomes 0 in float32'),
        (10**400, float, 'x is inf, but it must be finite'),
        ({'schedule': 'linear', 'start': 10**400, 'end': 1.0}, float, "arguments of schedule 'linear' must be numbers"),
        ({'schedule': 'linear', 'start': 1e-30, 'end': 1.0}, Temperature, 'x.start is 1e-30, but it must lie between'),
        (
            {'schedule': 'steps', 'start': 1.0, 'at': (100, 150)},
            float,
            'x.at holds 100, but the moments of a schedule are shares of the run, between 0 and 1; for epoch 100 write '
            '100 / EPOCHS.',
        ),
        ({'schedule': 'linear', 'start': 1.0, 'end': 2.0, 'until': 10}, float, 'x.until holds 10, but the moments'),
        ({'schedule': 'linear', 'start': 1.0, 'end': 2.0, 'begin': -0.1}, float, 'x.begin holds -0.1, but the moments'),
        ({'schedule': 'cosine', 'peak': 1.0, 'warmup': 5}, float, 'x.warmup holds 5, but the moments'),
        ({'schedule': 'steps', 'start': 1.0, 'at': ()}, float, 'x.at has 0 numbers, but it must have 1 to 1000'),
        # 1 * -2 is negative after one step, and 1e-30 * 1e-9 is too small after one.
        (
            {'schedule': 'steps', 'start': 1.0, 'at': (0.5,), 'factor': -2.0},
            NonNegative,
            'x after 1 of its steps is -2, but it must not be negative',
        ),
        (
            {'schedule': 'steps', 'start': 1e-30, 'at': (0.5,), 'factor': 1e-9},
            float,
            'x after 1 of its steps is 1e-39, which becomes 0 in float32',
        ),
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


@pytest.mark.parametrize(
    ('option', 'annotation', 'said'),
    [
        (0, Count, 'c.x is 0, but it must be 1 or more'),
        (-2, Count, 'c.x is -2, but it must be 1 or more'),
        (2.0, Count, 'c.x is 2.0, but it must be a whole number'),
        (10**6, Repeats, 'c.x is 1e+06, but it must be at most 2000'),
        (0, Repeats, 'c.x is 0, but it must be 1 or more'),
        (2**31, int, 'c.x is 2147483648, but whole numbers have 32 bits'),
        (-(2**40), int | None, 'c.x is -1099511627776, but whole numbers have 32 bits'),
        ('a', int | None, "c.x is 'a', but it must be a whole number or None"),
        ((3, 0), Sequence[int], 'c.x is (3, 0), but it must be a tuple of whole numbers, 1 or more, such as (64, 32)'),
        ((3, 2**31), Sequence[int], 'c.x is 2147483648, but whole numbers have 32 bits'),
        ((1,) * 1001, Sequence[int], 'c.x has 1001 numbers, but it must have at most 1000'),
        (('a',), tuple[float, ...], "c.x is ('a',), but it must be a tuple of numbers, such as (0.5, 0.5)"),
        ((float('nan'),), tuple[float, ...], 'c.x is (nan,), but it must be a tuple of numbers'),
        ((1e39,), Sequence[float], 'c.x is 1e+39, which becomes infinite in float32'),
        (3, str, 'c.x is 3, but it must be a text.'),
        (3, str | None, 'c.x is 3, but it must be a text or None.'),
        (1, bool, 'c.x is 1, but it must be True or False'),
        (1e-30, Temperature, 'c.x is 1e-30, but it must lie between 1e-6 and 1e6'),
    ],
)
def test_an_option_of_another_type_or_range_is_refused(option, annotation, said):
    with pytest.raises(UserError) as error:
        check_option(option, annotation, 'c.x')
    assert said in str(error.value)


def test_options_that_are_right_pass():
    for option, annotation in (
        (1, Count), (2000, Repeats), (2**31 - 1, int), (-(2**31), int | None), (None, int | None), ((), Sequence[int]),
        ([4, 4], Sequence[int]), ((0.0, -1, 2.5), tuple[float, ...]), (None, str | None), ('', str), (3, Positive),
    ):  # fmt: skip
        check_option(option, annotation, 'c.x')


def test_what_is_fixed_when_the_step_is_compiled():
    assert all(map(is_static, (int, Count, int | None, bool, str, Literal['a'], Sequence[int], tuple[float, ...])))
    assert not any(map(is_static, (float, Positive, Temperature)))


def test_a_wrong_choice_among_words_and_truth_values_is_one_sentence():
    with pytest.raises(UserError, match=r"^c: there is no standardise 'cod'. Did you mean 'code'\? Known"):
        check_option('cod', Literal[False, True, 'code'], 'c.standardise')
