"""A power law with a floor, fitted to a learning curve."""

import numpy as np
import pytest

from kd_jax.report.learning_curves import draw_curves
from kd_jax.report.power_law import extrapolated, fit_power_law


@pytest.mark.parametrize(('floor', 'scale', 'exponent'), [(2.0, 30.0, 0.5), (0.0, 4.0, 0.1), (3.5, 1e4, 1.0)])
def test_a_power_law_is_found_again(floor, scale, exponent):
    x = np.array([1e3, 2e3, 4e3, 8e3, 16e3])
    law = fit_power_law(x, floor + scale * x**-exponent)
    # The grid of exponents has steps of 1%.
    np.testing.assert_allclose(law.at(16 * x), floor + scale * (16 * x) ** -exponent, rtol=0.01)
    np.testing.assert_allclose(law.exponent, exponent, rtol=0.05)


def test_what_does_not_fall_or_has_three_points_has_no_law():
    assert fit_power_law([1, 2, 4, 8], [1, 2, 3, 4]) is None
    assert fit_power_law([1, 2, 4], [4, 2, 1]) is None
    assert fit_power_law([1, 2, 4, 8], [1, 1, 1, 1]) is None
    # Of the variance of this peak no falling curve explains half; of this small bump it explains nearly all.
    assert fit_power_law([1, 2, 3, 4], [8.6, 14.9, 7.3, 7.2]) is None
    assert fit_power_law([1, 2, 3, 4], [13.0, 9.5, 7.4, 7.6]) is not None


def with_history(loaded, values):
    result = loaded[1]['student'][0]
    history = [{'epoch': e, 'test': {'student': {'errors': y}}} for e, y in zip((1, 2, 4, 8), values, strict=True)]
    return {'student': {0: result | {'history': history}}}


def test_an_extrapolation_names_the_law_and_its_value(loaded):
    # 5 + 8 / n: at n = 8 * 4 it is 5.25.
    entry = {'value': 'student:last.test.student.errors', 'times': 4}
    found = extrapolated(entry, with_history(loaded, (13, 9, 7, 6)))
    np.testing.assert_allclose(found.value, 5.25, rtol=2e-3)
    assert 'fitted to 4 evaluations, has a = 5.0' in found.words
    assert 'at 4 times as many examples it gives 5.2' in found.words
    assert extrapolated(entry, with_history(loaded, (1, 2, 3, 4))).value is None
    assert extrapolated(entry, {}).words == 'student has not been run yet'


def test_the_law_is_that_of_the_mean_over_seeds_as_in_the_figure(loaded):
    # The means are 13, 9, 7 and 6, that is 5 + 8 / n, on which neither seed lies. A power law has no value at epoch 0.
    entry = {'value': 'student:last.test.student.errors', 'times': 4}
    first = with_history(loaded, (14, 9, 5, 2))['student'][0]
    second = with_history(loaded, (12, 9, 9, 10))['student'][0]
    for seed in (first, second):
        seed['history'].insert(0, seed['history'][0] | {'epoch': 0})
    both = {'student': {0: first, 1: second}}
    found = extrapolated(entry, both)
    np.testing.assert_allclose(found.value, 5.25, rtol=2e-3)
    assert 'fitted to 4 evaluations, each the mean of 2 seeds, has a = 5.0' in found.words
    figure = {'runs': 'student', 'y': 'test.student.errors', 'times': 4, 'log_x': True}
    [axes] = draw_curves(figure, both)[0].axes
    np.testing.assert_allclose(axes.lines[-1].get_ydata()[-1], found.value)


def test_a_figure_continues_the_curve_over_a_log_axis(loaded):
    entry = {'runs': 'student', 'y': 'test.student.errors', 'times': 4, 'log_x': True}
    [axes] = draw_curves(entry, with_history(loaded, (13, 9, 7, 6)))[0].axes
    solid, dashed = sorted(axes.lines, key=lambda line: len(line.get_xdata()))
    assert solid.get_xdata().tolist() == [1, 2, 4, 8]
    np.testing.assert_allclose([dashed.get_xdata()[-1], dashed.get_ydata()[-1]], [32, 5.25], rtol=2e-3)
    assert axes.get_xscale() == 'log'


def test_the_names_stand_in_the_order_of_the_continued_ends(loaded):
    # 5 + 8 / n ends higher than 1 + 40 / n, which lies above it at n = 8.
    runs = {
        'slow': with_history(loaded, (13, 9, 7, 6))['student'],
        'steep': with_history(loaded, (41, 21, 11, 6.1))['student'],
    }
    entry = {'runs': '*', 'y': 'test.student.errors', 'log_x': True}

    def height_of_names(**options):
        [axes] = draw_curves(entry | options, runs)[0].axes
        return {text.get_text(): text.xy[1] for text in axes.texts}

    assert height_of_names()['steep'] > height_of_names()['slow']
    continued = height_of_names(times=8)
    assert continued['steep'] < continued['slow']


def test_of_many_grey_curves_none_is_continued(loaded):
    [[_, seeds]] = with_history(loaded, (13, 9, 7, 6)).items()
    many = {f'run{i}': seeds for i in range(8)}
    [axes] = draw_curves({'runs': '*', 'y': 'test.student.errors', 'times': 4, 'log_x': True}, many)[0].axes
    assert {line.get_xdata()[-1] for line in axes.lines} == {8}
    assert axes.get_xlim()[1] < 32
