"""The figure of differences from KD, from small results that are made by hand."""

import numpy as np
import pytest

from experiments.differences_figure import TEACHERS, draw_differences
from experiments.long_tables import differences_from
from kd_jax.analyses.correct_examples import correct_examples
from kd_jax.report import figure_style

KD = np.tile(np.arange(100) < 50, (3, 1))
BETTER, WORSE = KD | (np.arange(100) < 80), KD & (np.arange(100) < 49)  # by 30 points and by 1


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(figure_style, 'save', lambda figure, path: figures.append(figure))
    return figures


def results(**rights):
    """The results of runs of which each seed gets the marked test examples right."""
    labels = np.zeros(100, int)
    return {
        run: {
            seed: {'analyses': {'right': correct_examples({'test': np.stack([own, ~own], -1) * 1.0}, {'test': labels})}}
            for seed, own in enumerate(right)
        }
        for run, right in rights.items()
    }


def points(axes):
    return [line for line in axes.lines if line.get_marker() == 'o' and line.get_linestyle() == 'None']


def test_a_point_is_the_mean_difference_a_bar_its_interval_and_a_filled_one_is_certain(drawn, tmp_path):
    tuned = results(kd=KD, dkd=BETTER, fitnet=WORSE)
    draw_differences({'tuned_1000': tuned}, tmp_path / 'a.png')
    (axes,) = drawn[0].axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ['FitNet', 'DKD']  # the best is on top
    found = differences_from('kd', tuned)
    means = {line.get_ydata()[0]: line.get_xdata()[0] for line in points(axes)}
    assert means == pytest.approx({1.0: 0.3, 0.0: -0.01})
    bars = {tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2} - {(0, 0)}
    assert bars == {found['dkd'].interval, found['fitnet'].interval}
    fills = {line.get_ydata()[0]: line.get_markerfacecolor() for line in points(axes)}
    assert fills[0.0] == 'white'
    assert fills[1.0] != 'white'


@pytest.mark.parametrize('better', [51, 90])
def test_a_tick_says_how_many_points_it_stands_for(better, drawn, tmp_path):
    draw_differences({'tuned_1000': results(kd=KD, dkd=KD | (np.arange(100) < better))}, tmp_path / 'a.png')
    (axes,) = drawn[0].axes
    said = [float(label.get_text().replace('−', '-')) for label in axes.get_xticklabels()]
    assert said == pytest.approx(100 * axes.get_xticks(), abs=1e-9)


def test_another_teacher_has_points_of_its_own_beside_those_of_the_same_method(drawn, tmp_path):
    found = {'tuned_1000': results(kd=KD, dkd=BETTER, fitnet=WORSE), 'wide_1000': results(kd=KD, dkd=WORSE)}
    draw_differences(found, tmp_path / 'a.png')
    (axes,) = drawn[0].axes
    heights = [round(line.get_ydata()[0]) for line in points(axes)]
    assert sorted(heights) == [0, 1, 1]  # no line for FitNet with the other teacher
    assert len({line.get_color() for line in points(axes)}) == 2
    assert axes.get_legend_handles_labels()[1] == list(TEACHERS.values())


def test_two_seeds_give_no_figure(drawn, tmp_path):
    draw_differences({'tuned_1000': results(kd=KD[:2], dkd=BETTER[:2])}, tmp_path / 'a.png')
    assert not drawn
