"""The figure of accuracies after 900 and after 10,000 steps, from small results that are made by hand."""

import pytest

from experiments.lengths_figure import draw_lengths
from kd_jax.report import figure_style


def results(**accuracies):
    return {
        run: {seed: {'last': {'test': {'student': {'accuracy': value}}}} for seed, value in enumerate(values)}
        for run, values in accuracies.items()
    }


@pytest.fixture
def drawn(monkeypatch):
    figures = []
    monkeypatch.setattr(figure_style, 'save', lambda figure, path: figures.append(figure))
    return figures


def test_a_point_is_a_method_that_both_lengths_have(drawn, tmp_path):
    short = {1000: results(kd=(0.5, 0.7), dkd=(0.8, 0.8), fitnet=(0.3, 0.3)), 10_000: results(kd=(0.9,))}
    long = {1000: results(kd=(0.8,), dkd=(0.7,), baseline=(0.2,))}
    draw_lengths(short, long, tmp_path / 'a.png')
    (figure,) = drawn
    (axes,) = figure.axes
    assert axes.get_title(loc='left') == '1,000 images'
    points = [point for line in axes.lines for point in zip(*line.get_data(), strict=True)]
    assert sorted(points) == [(pytest.approx(0.6), 0.8), (0.8, 0.7)]
    assert {text.get_text() for text in axes.texts} == {'KD', 'DKD'}


def test_the_teacher_is_a_dashed_line_and_without_results_nothing_is_drawn(drawn, tmp_path):
    teacher = {'teacher': {0: {'last': {'test': {'teacher': {'accuracy': 0.95}}}}}}
    draw_lengths({1000: results(kd=(0.5,))}, {1000: results(kd=(0.6,)) | teacher}, tmp_path / 'a.png')
    dashed = [line for line in drawn[0].axes[0].lines if line.get_linestyle() == '--']
    assert [list(line.get_ydata()) for line in dashed] == [[0.95, 0.95]]
    draw_lengths({1000: results(kd=(0.5,))}, {}, tmp_path / 'a.png')
    draw_lengths({1000: results(kd=(0.5,))}, {1000: results(dkd=(0.5,))}, tmp_path / 'a.png')
    assert len(drawn) == 1
