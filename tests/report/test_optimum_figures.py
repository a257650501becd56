"""Panels of a number over a setting, with the best setting of each."""

import math

import numpy as np
import pytest

from kd_jax.report.optimum_figures import draw_optima
from tests.report.conftest import PATH

ENTRY = {'kind': 'optima', 'runs': '*', 'x': 'config.t', 'y': PATH, 'by': 'config.widths.0', 'by_label': '{} units'}


def test_a_panel_shows_means_standard_errors_and_the_best_setting(loaded):
    figure, note = draw_optima({**ENTRY, 'log_x': True}, loaded[1])
    [axes] = figure.axes
    ring, line = axes.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 12], [4, 7], [20, 4]])
    np.testing.assert_allclose(ring.get_xydata(), [[20, 4]])
    band = axes.collections[0].get_paths()[0].vertices
    at_4 = sorted({y for x, y in band.tolist() if x == 4})
    assert at_4 == pytest.approx([7 - 1 / math.sqrt(3), 7 + 1 / math.sqrt(3)])  # sd 1, three seeds
    assert axes.get_title() == '30 units: best at 20 (20 to 20)'
    stripe = axes.patches[0]
    # The stripe of the last setting begins halfway, on the logarithmic axis, to the setting before.
    assert (stripe.get_x(), stripe.get_x() + stripe.get_width()) == pytest.approx((math.sqrt(4 * 20), 20))
    assert note == ''


def test_each_group_has_a_panel_and_a_second_number_is_scaled_to_the_first(loaded):
    for run, seeds in loaded[1].items():
        for result in seeds.values():
            result['config']['widths'] = [30] if run == 'teacher' else [4]
            own = result['last']['test']['student']
            result['last']['valid'] = {'student': {'count': 50, 'errors': own['errors'] / 2 + 1}}
    figure, _ = draw_optima({**ENTRY, 'beside': PATH.replace('test', 'valid')}, loaded[1])
    first, second = figure.axes
    assert first.get_title().startswith('4 units: best at 4')
    assert second.get_title().startswith('30 units: best at 20')
    np.testing.assert_allclose(first.lines[2].get_xydata(), [[1, 14], [4, 9]])  # 2 * (errors / 2 + 1)


def test_of_one_seed_the_best_mean_alone_is_marked(loaded):
    one = {run: {0: seeds[0]} for run, seeds in loaded[1].items()}
    [axes] = draw_optima(ENTRY, one)[0].axes
    assert axes.get_title() == '30 units: best at 20 (one seed)'


def test_runs_without_the_number_are_named(loaded):
    figure, note = draw_optima({**ENTRY, 'y': 'last.test.student.mse'}, loaded[1])
    assert figure is None
    assert 'teacher recorded no last.test.student.mse' in note


def test_a_panel_in_which_several_runs_have_one_setting_is_refused_as_the_claim_is(loaded):
    for result in loaded[1]['student'].values():
        result['config']['t'] = 1.0  # as the baseline, whose number would be lost
    assert draw_optima(ENTRY, loaded[1]) == (None, 'several runs have the same t.')
    for result in loaded[1]['student'].values():
        result['config']['widths'] = [4]
    figure, note = draw_optima(ENTRY, loaded[1])  # in panels of their own they are told apart
    assert (len(figure.axes), note) == (2, '')
