"""Learning curves and the default choice of them."""

import numpy as np

from kd_jax.report.learning_curves import default_curves, draw_curves
from kd_jax.report.result_files import measures_of
from kd_jax.report.tables import Row, Table


def test_curves_are_the_mean_over_seeds_in_a_band_from_lowest_to_highest(loaded):
    figure, _ = draw_curves({'runs': 'baseline', 'y': 'test.student.errors'}, loaded[1])
    [axes] = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 12], [2, 12]])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (10, 14)


def test_the_x_axis_may_be_tokens_instead_of_epochs(loaded):
    entry = {'runs': 'baseline', 'y': 'test.student.errors', 'per_epoch': 512, 'xlabel': 'tokens'}
    [axes] = draw_curves(entry, loaded[1])[0].axes
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [512, 1024])
    assert axes.get_xlabel() == 'tokens'


def test_epochs_are_written_as_other_numbers_are(loaded):
    history = [{'epoch': 200.0 * i, 'test': {'student': {'errors': 9 - i}}} for i in range(1, 8)]
    figure, _ = draw_curves(
        {'runs': '*', 'y': 'test.student.errors'}, {'a': {0: loaded[1]['student'][0] | {'history': history}}}
    )
    figure.draw_without_rendering()
    assert '1,000' in [text.get_text() for text in figure.axes[0].get_xticklabels()]


def test_of_many_curves_the_lowest_and_the_highest_are_named(loaded):
    result = loaded[1]['student'][0]
    many = {}
    for i in range(9):
        history = [{'epoch': 1.0, 'test': {'student': {'errors': 10 + i}}}]
        many[f'run{i}'] = {0: result | {'history': history}}
    figure, _ = draw_curves({'runs': '*', 'y': 'test.student.errors'}, many)
    assert {text.get_text() for text in figure.axes[0].texts} == {'run0', 'run8', '7 others'}


def test_default_curves_show_every_run_that_evaluated_the_network(loaded):
    [entry] = default_curves(loaded[1], []).values()
    assert entry['y'] == 'test.student.errors'
    assert list(entry['runs'].values()) == ['baseline', 'student', 'teacher']


def test_default_curves_name_a_run_as_the_tables_do_if_they_agree(loaded):
    def row(run, label):
        return Row(label, run, 1, ())

    first = Table('a', 'a', '', (), (row('baseline', 'labels alone'), row('student', 'taught')), ())
    again = Table('b', 'b', '', (), (row('student', 'on words'), row('teacher', 'labels alone')), ())
    [entry] = default_curves(loaded[1], [first]).values()
    assert entry['runs'] == {'labels alone': 'baseline', 'taught': 'student', 'teacher': 'teacher'}
    [entry] = default_curves(loaded[1], [first, again]).values()  # two names of one run, one name of two runs
    assert entry['runs'] == {'baseline': 'baseline', 'student': 'student', 'teacher': 'teacher'}


def test_a_single_evaluation_at_the_end_makes_no_learning_curve(loaded):
    for seeds in loaded[1].values():
        for result in seeds.values():
            result['history'] = result['history'][-1:]
    assert default_curves(loaded[1], []) == {}


def test_default_curves_show_the_metric_that_chooses_the_best_epoch(loaded):
    for seeds in loaded[1].values():
        for result in seeds.values():
            result['best_by'] = {'student': 'accuracy'}
    [entry] = default_curves(loaded[1], []).values()
    assert entry['y'] == 'test.student.accuracy'


def test_runs_may_have_labels_and_a_reference_is_a_horizontal_line(loaded):
    reference = {'goal': 'teacher:last.test.student.errors'}
    entry = {'runs': {'small': 'baseline'}, 'y': 'test.student.errors', 'reference': reference}
    figure, note = draw_curves(entry, loaded[1])
    [axes] = figure.axes
    assert {text.get_text() for text in axes.texts} == {'small', 'goal'}
    assert axes.lines[-1].get_ydata() == [measures_of(reference, loaded[1])[0]['goal'].mean] * 2
    assert note == ''


def test_a_curve_of_the_start_alone_has_no_place_on_a_logarithmic_axis(loaded):
    entry = {'runs': 'student', 'y': 'test.student.errors', 'log_x': True}
    assert draw_curves(entry, loaded[1])[0].axes[0].get_xscale() == 'log'
    for result in loaded[1]['student'].values():
        result['history'] = [{**result['history'][0], 'epoch': 0.0}]
    assert draw_curves(entry, loaded[1])[0].axes[0].get_xscale() == 'linear'
