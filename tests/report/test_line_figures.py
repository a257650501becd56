"""Numbers over a setting of the config, and the figures of swept numbers that are drawn without being asked for."""

import numpy as np
import pytest

from kd_jax.report.finding import Finding, find
from kd_jax.report.line_figures import default_sweeps, draw_lines
from kd_jax.report.tables import study_tables

NOTHING = Finding('')


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def test_lines_pass_through_the_means_in_a_band_of_one_deviation(loaded):
    study, results = loaded
    figure, note = draw_lines(study['report']['figures']['sweep'], results)
    [axes] = figure.axes
    [line] = axes.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 12], [4, 7], [20, 4]])
    band = axes.collections[0].get_paths()[0].vertices
    assert {y for x, y in band.tolist() if x == 4} == {6, 8}  # student: 7 ± 1
    assert axes.get_xscale() == 'log'
    assert 'widths 30' in _texts(axes)
    assert note == ''


def test_several_runs_with_one_setting_are_not_joined_to_a_zigzag(loaded):
    study, results = loaded
    for result in results['student'].values():
        result['config']['t'] = 20.0
    figure, note = draw_lines(study['report']['figures']['sweep'], results)
    assert figure is None
    assert note == 'several runs have the same t.'


def test_lines_are_grouped_in_the_order_of_the_groups_value(loaded):
    study, results = loaded
    for result in results['student'].values():
        result['config']['widths'] = [4]
    entry = study['report']['figures']['sweep'] | {
        'by_label': '{} units',
        'reference': {'floor': 'teacher:seconds'},
    }
    figure, _ = draw_lines(entry, results)
    first, second, _ = figure.axes[0].lines
    assert [len(line.get_xydata()) for line in (first, second)] == [1, 2]
    assert set(_texts(figure.axes[0])) == {'4 units', '30 units', 'floor'}


def test_a_swept_number_gets_its_curve_with_the_baseline_and_validation_beside_test(loaded):
    study, results = loaded
    for seeds in results.values():
        for result in seeds.values():
            own = result['last']['test']['student']
            result['last']['valid'] = {'student': {'count': 50, 'errors': own['errors'] / 2 + 1}}
    tables = study_tables(study, results)
    [entry] = default_sweeps(results, tables, find(tables, results), {}).values()
    figure, note = draw_lines(entry, results)
    [axes] = figure.axes
    test, valid, baseline = axes.lines
    np.testing.assert_allclose(test.get_xydata(), [[1, 12], [4, 7], [20, 4]])
    # validation has half as many examples, so its errors are doubled: 2 * (errors / 2 + 1)
    np.testing.assert_allclose(valid.get_xydata(), [[1, 14], [4, 9], [20, 6]])
    assert set(baseline.get_ydata()) == {12}
    assert axes.get_xscale() == 'log'  # 1 to 20 is more than a decade
    assert set(_texts(axes)) == {'test', 'validation', 'baseline'}
    assert axes.get_xlabel() == 'temperature'
    assert note == ''


def test_the_axis_is_linear_below_a_decade(loaded):
    for result in loaded[1]['teacher'].values():
        result['config']['t'] = 8.0
    [entry] = default_sweeps(loaded[1], [], NOTHING, {}).values()
    assert draw_lines(entry, loaded[1])[0].axes[0].get_xscale() == 'linear'


def test_what_the_report_draws_is_not_drawn_twice(loaded):
    study, results = loaded
    assert default_sweeps(results, [], NOTHING, study['report']) == {}


def nested(path, value):
    """The config with one leaf: nested('a.b', 1) == {'a': {'b': 1}}; a last key '0' makes a list."""
    for key in reversed(path.split('.')):
        value = [value] if key == '0' else {key: value}
    return value


@pytest.mark.parametrize(
    ('path', 'words'),
    [
        ('terms.soft.t', 'temperature of soft'),
        ('networks.net.hidden.0', 'hidden of net'),
        ('optimizer.learning_rate.peak', 'peak learning rate'),
        ('terms.soft.weight.end', 'final weight of soft'),
        ('batch_size', 'batch size'),
    ],
)
def test_a_swept_number_is_named_in_words(loaded, path, words):
    for value, seeds in enumerate(loaded[1].values()):
        for result in seeds.values():
            result['config'] = nested(path, value)
    [entry] = default_sweeps(loaded[1], [], NOTHING, {}).values()
    assert entry['xlabel'] == words


def test_runs_may_be_given_by_the_label_of_their_line(loaded):
    _, results = loaded
    entry = dict(
        kind='lines', x='config.t', y='last.test.student.errors', runs={'soft': ['student'], 'hard': 'baseline'}
    )
    figure, gaps = draw_lines(entry, results)
    assert gaps == ''
    assert {'soft', 'hard'} <= {text.get_text() for text in figure.axes[0].texts}
