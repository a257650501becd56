"""Figures of matrices and of soft targets."""

import matplotlib

from kd_jax.report.matrix_figures import draw_matrices, draw_soft_targets


def test_matrices_share_one_log_scale_from_the_smallest_positive_value(loaded):
    results = loaded[1]
    results['teacher'][0]['analyses']['matrix'] = [[5.0, 0.2], [0.2, 5.0]]
    entry = {'values': {'a': 'student:analyses.matrix', 'b': 'teacher:analyses.matrix'}}
    figure, _ = draw_matrices(entry, results)
    norms = [axes.images[0].norm for axes in figure.axes[:2]]
    assert norms[0] is norms[1]
    assert isinstance(norms[0], matplotlib.colors.LogNorm)
    assert (norms[0].vmin, norms[0].vmax) == (0.01, 5.0)
    figure.draw_without_rendering()
    ticks = [label.get_text() for label in figure.axes[-1].get_yticklabels()]
    assert {'10⁻²', '10⁻¹', '10⁰'} <= set(ticks)


def test_soft_targets_have_a_row_per_image_and_a_chart_per_temperature(loaded):
    figure, _ = draw_soft_targets({'run': 'student', 'analysis': 'dark'}, loaded[1])
    assert len(figure.axes) == 1 + 2
    assert [patch.get_height() for patch in figure.axes[2].patches] == [0.4, 0.6]
    assert figure.axes[2].get_title() == 'T = 4'
    figure.draw_without_rendering()
    ticks = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert ticks[:4] == ['10⁻⁶', '10⁻⁴', '10⁻²', '10⁰']


def test_a_matrix_that_is_none_is_left_out(loaded):
    figure, note = draw_matrices({'values': {'a': 'student:seconds'}}, loaded[1])
    assert figure is None
    assert note == 'student has no value to show at seconds.'
