"""The places of labels."""

import itertools
import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from kd_jax.report.figure_style import canvas, file_stem, label_ends, power_of_ten, save, spread, ticks_at


def test_labels_are_pushed_apart_and_stay_centred():
    assert spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])
    assert spread([0.50, 0.55, 0.62], 0.1) == pytest.approx([0.4567, 0.5567, 0.6567], abs=1e-4)


def test_names_at_the_end_of_low_lines_stay_above_the_ticks():
    _, axes = canvas()
    axes.plot([0, 1], [0, 1])
    label_ends(axes, [(0.0, name, 'black') for name in 'abc'] + [(1.0, 'd', 'black')])
    heights = [text.xy[1] for text in axes.texts]
    assert heights[:3] == pytest.approx([0.0, 0.062, 0.124], abs=0.05)
    assert min(heights) >= 0
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 0.062 - 1e-9


def test_long_names_stand_on_several_lines_and_farther_apart():
    _, axes = canvas()
    axes.plot([0, 1], [0, 1])
    label_ends(axes, [(0.5, 'labels alone, rate 0.002, strength 1', 'black'), (0.5, 'KD', 'black')])
    names = {text.get_text(): text.xy[1] for text in axes.texts}
    assert set(names) == {'labels alone, rate 0.002,\nstrength 1', 'KD'}
    low, high = sorted(names.values())
    assert high - low == pytest.approx(2 * 0.062)


def test_a_figure_that_no_report_named_has_a_name_for_a_file():
    assert file_stem('sweep-terms.soft.t-student') == 'sweep-terms-soft-t-student'
    hostile = ['../x y', '../x-y', 'a\x1b[31m', 'a-31m', 'x' * 300, 'x' * 301, '']
    names = [file_stem(text) for text in hostile]
    assert len(set(names)) == len(hostile)
    assert all(re.fullmatch(r'[\w-]{1,120}', name) for name in names)


def test_names_in_figures_are_drawn_as_they_are_without_warnings(tmp_path):
    figure, axes = canvas()
    axes.set_title('a\x1b[31m $x$ 漢')
    axes.set_xlabel('long_' * 13 + 'end')
    save(figure, tmp_path / 'a.png')
    assert axes.get_title() == r'a\x1b[31m $x$ 漢'
    assert axes.get_xlabel().replace('\n', '') == 'long_' * 13 + 'end'
    assert max(map(len, axes.get_xlabel().splitlines())) <= 60
    assert (tmp_path / 'a.png').stat().st_size > 0


def test_ticks_at_the_data_have_three_digits_unless_they_are_whole():
    figure, axes = canvas()
    ticks_at(axes, [0.25, 4.1026, 1333.33, 102_400], log=True)
    FigureCanvasAgg(figure).draw()
    assert [label.get_text() for label in axes.get_xticklabels()] == ['0.25', '4.1', '1,333', '102,400']


def test_a_tick_at_a_power_of_ten_is_written_as_one():
    assert [power_of_ten(tick) for tick in (1.0, 0.01, 1e-12, 1000.0, 0.02, 0.0)] == [
        '10⁰',
        '10⁻²',
        '10⁻¹²',
        '10³',
        '',
        '',
    ]


def test_numbers_beside_bars_are_not_cut_at_the_edge_of_the_picture(tmp_path):
    figure, axes = canvas()
    axes.plot([0.971, 1.0144], [0, 1], 'o')
    axes.set_yticks(range(2), ['masked words alone', 'the layers of the teacher as they are'])
    axes.set_xlim(0.968, 1.04)
    number = axes.annotate('100.2 ± 1.2%, a long number', (1.02, 1), (7, 0), textcoords='offset points', fontsize=9.5)
    save(figure, tmp_path / 'bars.png')
    assert number.get_window_extent(FigureCanvasAgg(figure).get_renderer()).x1 <= figure.bbox.x1
