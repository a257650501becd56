"""Points, the files that figures are drawn to, and the figure that leads a report."""

import struct

import numpy as np

from kd_jax.report.figures import draw, scatter
from kd_jax.report.finding import find
from kd_jax.report.paper_claims import study_claims
from kd_jax.report.tables import study_tables


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def _drawn(study, results, out):
    tables = study_tables(study, results)
    return draw(study, results, out, tables, find(tables, results), study_claims(study, results))


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
    pictures = _drawn(*loaded, out)
    drawn = {picture.path.name for picture in pictures if picture.path}
    assert drawn == {path.name for path in out.iterdir()}
    assert drawn == {
        'compared-main.png',
        'sweep.png',
        'bars.png',
        'matrices.png',
        'dark.png',
        'curves-test-student-errors.png',
    }
    width = struct.unpack('>I', (out / 'bars.png').read_bytes()[16:20])[0]
    assert width == 1080
    [nothing] = [picture for picture in pictures if picture.path is None]
    assert (nothing.name, nothing.note) == ('nothing', 'absent has not been run yet.')


def test_the_report_leads_with_the_figure_that_it_names_or_with_the_sweep_of_the_finding_or_with_its_table(
    loaded, tmp_path
):
    study, results = loaded

    def lead():
        first, *others = _drawn(study, results, tmp_path)
        assert not any(picture.leads for picture in others)
        return first.name if first.leads else None

    drawn = study['report']['figures']
    study['report'] |= {'lead': 'bars', 'figures': {name: drawn[name] for name in ('bars', 'sweep')}}
    assert lead() == 'bars'
    del study['report']['lead']
    assert lead() == 'compared-main'  # the report itself draws the swept number
    del study['report']['figures']
    assert lead() == 'sweep-t-student'
    assert _drawn({'name': 'small'}, {}, tmp_path) == []


def test_dollar_signs_and_control_characters_in_a_name_are_drawn_as_text(loaded, tmp_path):
    study, results = loaded
    study['report']['tables']['main']['rows']['student']['label'] = '$\\nosuchsymbol$ \x1b[31m'
    assert _drawn(study, results, tmp_path)[0].path.exists()


def test_a_cost_of_zero_has_no_place_on_a_logarithmic_axis(loaded):
    entry = {'values': {'a': 'student:seconds', 'b': 'baseline:seconds'}, 'x': {'a': 0, 'b': 10}, 'log_x': True}
    assert scatter(entry, loaded[1])[0].axes[0].get_xscale() == 'linear'
    entry['x']['a'] = 1
    assert scatter(entry, loaded[1])[0].axes[0].get_xscale() == 'log'
