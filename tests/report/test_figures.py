"""Lines, bars, points, and the files that they are drawn to."""

import struct

import numpy as np
from matplotlib.figure import Figure

from kd_jax.report.figures import bars, draw, lines, scatter


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def test_lines_pass_through_the_means_with_the_deviation_as_error_bar(loaded):
    study, results = loaded
    figure, note = lines(study['report']['figures']['sweep'], results)
    [axes] = figure.axes
    [container] = axes.containers
    line, _, (bars_,) = container.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 12], [4, 7], [20, 4]])
    np.testing.assert_allclose(bars_.get_segments()[1], [[4, 6], [4, 8]])  # student: 7 ± 1
    assert axes.get_xscale() == 'log'
    assert 'widths 30' in _texts(axes)
    assert note == ''


def test_lines_are_grouped_in_the_order_of_the_groups_value(loaded):
    study, results = loaded
    for result in results['student'].values():
        result['config']['widths'] = [4]
    entry = study['report']['figures']['sweep'] | {
        'by_label': '{} units',
        'reference': {'floor': 'teacher:seconds'},
    }
    figure, _ = lines(entry, results)
    assert [len(c.lines[0].get_xydata()) for c in figure.axes[0].containers] == [1, 2]
    assert set(_texts(figure.axes[0])) == {'4 units', '30 units', 'floor'}


def test_bars_start_at_zero_and_carry_their_numbers(loaded):
    study, results = loaded
    figure, note = bars(study['report']['figures']['bars'], results)
    [axes] = figure.axes
    assert axes.get_xlim()[0] == 0
    assert [patch.get_width() for patch in axes.patches] == [7.0]
    assert _texts(axes) == ['7.0 ± 1.0']
    assert note == ''


def test_the_note_names_a_bar_that_cannot_be_drawn(loaded):
    figure, note = bars({'values': {'a': 'student:seconds', 'b': 'absent:seconds'}}, loaded[1])
    assert isinstance(figure, Figure)
    assert note == 'absent has not been run yet.'


def test_points_that_no_other_point_beats_are_joined_and_named():
    numbers = {'cheap': 0.6, 'best': 0.9, 'dearer': 0.9, 'worse': 0.55, 'middle': 0.8, 'usual': 0.7}
    results = {run: {seed: {'accuracy': a + 0.01 * seed} for seed in (-1, 0, 1)} for run, a in numbers.items()}
    entry = {
        'values': {run.upper(): f'{run}:accuracy' for run in (*numbers, 'gone')},
        'x': {'CHEAP': 1.0, 'BEST': 3.0, 'DEARER': 4.0, 'WORSE': 2.0, 'MIDDLE': 2.0, 'USUAL': 2.5, 'GONE': 1.0},
        'groups': {'CHEAP': 'a', 'BEST': 'b', 'DEARER': 'b', 'WORSE': 'a', 'MIDDLE': 'a', 'USUAL': 'a'},
        'named': ['USUAL'],
    }
    figure, note = scatter(entry, results)
    [axes] = figure.axes
    front = next(line for line in axes.lines if line.get_linestyle() == '-')
    np.testing.assert_allclose(front.get_xydata(), [[1, 0.6], [2, 0.8], [3, 0.9]])
    assert sorted(_texts(axes)) == ['BEST', 'CHEAP', 'MIDDLE', 'USUAL']
    first, second = axes.containers
    assert [c.get_label() for c in (first, second)] == ['a', 'b']
    np.testing.assert_allclose(second.lines[0].get_xydata(), [[3, 0.9], [4, 0.9]])
    np.testing.assert_allclose(second.lines[2][0].get_segments()[0], [[3, 0.89], [3, 0.91]])
    assert note == 'gone has not been run yet.'


def test_of_a_metric_that_should_be_low_the_lowest_points_are_joined():
    stated = {'metrics': {'depth': {'mse': {'unit': 'number', 'better': 'lower'}}}}
    numbers = {'cheap': 0.6, 'best': 0.2, 'worse': 0.7}
    results = {
        run: {0: {**stated, 'last': {'test': {'depth': {'mse': mse}}}, 'seconds': 1.0}} for run, mse in numbers.items()
    }
    values = {run: f'{run}:last.test.depth.mse' for run in numbers}
    figure, _ = scatter({'values': values, 'x': {'cheap': 1.0, 'worse': 2.0, 'best': 3.0}}, results)
    front = next(line for line in figure.axes[0].lines if line.get_linestyle() == '-')
    np.testing.assert_allclose(front.get_xydata(), [[1, 0.6], [3, 0.2]])


def test_each_figure_is_one_png_and_a_stale_one_goes(loaded, tmp_path):
    out = tmp_path / 'figures'
    out.mkdir()
    (out / 'old.png').write_bytes(b'')
    pictures = draw(*loaded, out)
    drawn = {picture.path.name for picture in pictures if picture.path}
    assert drawn == {path.name for path in out.iterdir()}
    assert drawn == {'sweep.png', 'bars.png', 'matrices.png', 'dark.png', 'curves-test-student-errors.png'}
    width = struct.unpack('>I', (out / 'bars.png').read_bytes()[16:20])[0]
    assert width == 1080
    [nothing] = [picture for picture in pictures if picture.path is None]
    assert (nothing.name, nothing.note) == ('nothing', 'absent has not been run yet.')
