import struct

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from kd_jax.report.figure_style import spread
from kd_jax.report.figures import bars, draw, lines, scatter
from kd_jax.report.learning_curves import default_curves, draw_curves
from kd_jax.report.matrix_figures import matrices, soft_targets
from kd_jax.report.result_files import load_results


@pytest.fixture
def loaded(study_dir):
    return load_results(study_dir)


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


def test_bars_start_at_zero_and_say_their_numbers(loaded):
    study, results = loaded
    figure, note = bars(study['report']['figures']['bars'], results)
    [axes] = figure.axes
    assert axes.get_xlim()[0] == 0
    assert [patch.get_width() for patch in axes.patches] == [7.0]
    assert _texts(axes) == ['7.0 ± 1.0']
    assert note == ''


def test_a_bar_that_cannot_be_drawn_is_accounted_for(loaded):
    figure, note = bars({'values': {'a': 'student:seconds', 'b': 'absent:seconds'}}, loaded[1])
    assert isinstance(figure, Figure)
    assert note == 'absent has not been run yet.'


def test_points_that_no_other_beats_in_cost_and_number_are_joined_and_named():
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


def test_curves_are_the_mean_over_seeds_in_a_band_from_lowest_to_highest(loaded):
    figure, _ = draw_curves({'runs': 'baseline', 'y': 'test.student.errors'}, loaded[1])
    [axes] = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 12], [2, 12]])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (10, 14)


def test_of_many_curves_the_lowest_and_the_highest_are_named(loaded):
    result = loaded[1]['student'][0]
    many = {}
    for i in range(9):
        history = [{'epoch': 1.0, 'test': {'student': {'errors': 10 + i}}}]
        many[f'run{i}'] = {0: result | {'history': history}}
    figure, _ = draw_curves({'runs': '*', 'y': 'test.student.errors'}, many)
    assert set(_texts(figure.axes[0])) == {'run0', 'run8', '7 others'}


def test_default_curves_show_every_run_that_evaluated_the_network(loaded):
    [entry] = default_curves(loaded[1]).values()
    assert entry['y'] == 'test.student.errors'
    assert entry['runs'] == ['baseline', 'student', 'teacher']


def test_an_evaluation_at_the_end_alone_is_no_learning_curve(loaded):
    for seeds in loaded[1].values():
        for result in seeds.values():
            result['history'] = result['history'][-1:]
    assert default_curves(loaded[1]) == {}


def test_matrices_share_one_log_scale_from_the_smallest_positive_value(loaded):
    results = loaded[1]
    results['teacher'][0]['analyses']['matrix'] = [[5.0, 0.2], [0.2, 5.0]]
    entry = {'values': {'a': 'student:analyses.matrix', 'b': 'teacher:analyses.matrix'}}
    figure, _ = matrices(entry, results)
    norms = [axes.images[0].norm for axes in figure.axes[:2]]
    assert norms[0] is norms[1]
    assert isinstance(norms[0], matplotlib.colors.LogNorm)
    assert (norms[0].vmin, norms[0].vmax) == (0.01, 5.0)


def test_soft_targets_have_a_row_an_image_and_a_chart_a_temperature(loaded):
    figure, _ = soft_targets({'run': 'student', 'analysis': 'dark'}, loaded[1])
    assert len(figure.axes) == 1 + 2
    assert [patch.get_height() for patch in figure.axes[2].patches] == [0.4, 0.6]
    assert figure.axes[2].get_title() == 'T = 4'


def test_labels_are_pushed_apart_and_stay_centred():
    assert spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])
    assert spread([0.50, 0.55, 0.62], 0.1) == pytest.approx([0.4567, 0.5567, 0.6567], abs=1e-4)


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


def test_a_matrix_that_is_none_is_left_out(loaded):
    figure, note = matrices({'values': {'a': 'student:seconds'}}, loaded[1])
    assert figure is None
    assert note == 'student has no value to show at seconds.'
