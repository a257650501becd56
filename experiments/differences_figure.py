"""Draws how far each tuned method is from KD, with two teachers, for docs/which_method.md."""

import pathlib
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from configs import benchmark_pairs
from configs import benchmark_pairs_long as stages
from experiments.long_tables import KD, Found, certain_runs, differences_from
from experiments.size_panels import size_panels
from kd_jax.report import figure_style, number_format
from kd_jax.report.paired_difference import PairedDifference

TEACHERS = {'tuned': 'a CNN teaches', 'wide': 'WRN-16-2 teaches'}  # by stage
APART = 0.36  # of a row, between the two teachers
ROW, REST = 0.27, 1.2  # inches: the height of a row, and of all else


def draw_differences(found: Found, path: pathlib.Path) -> None:
    """Draws a panel for each number of images, a row for each method, and a point for each of its teachers.

    A bar is the 95% interval; a point is filled if Holm's correction leaves the difference certain. Draws nothing if no
    study has three seeds.

    Args:
      found: the results by variant, such as 'tuned_1000'.
      path: the PNG file.
    """
    panels = {}
    for size in stages.SIZES:
        of_stages = {stage: differences_from(KD, found.get(f'{stage}_{size}', {})) for stage in TEACHERS}
        if of_stages['tuned']:
            panels[size] = of_stages
    if not panels:
        return
    rows = max(len(each['tuned']) for each in panels.values())
    with size_panels(list(panels), 1.3 * figure_style.WIDTH, REST + ROW * rows, path) as drawn:
        for axes, of_stages in zip(drawn, panels.values(), strict=True):
            _panel(axes, of_stages)


def _panel(axes: Axes, of_stages: Mapping[str, Mapping[str, PairedDifference]]) -> None:
    tuned = of_stages['tuned']
    ordered = sorted(tuned, key=lambda run: tuned[run].mean)  # the best is on top
    with_results = [stage for stage in TEACHERS if of_stages[stage]]
    axes.axvline(0, color=figure_style.INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0.5)
    for number, (stage, colour) in enumerate(zip(with_results, figure_style.colours(len(with_results)), strict=True)):
        own = of_stages[stage]
        lift = APART * ((len(with_results) - 1) / 2 - number)
        certain = certain_runs(own)
        for run in own.keys() & tuned:
            height = ordered.index(run) + lift
            axes.plot(own[run].interval, [height, height], color=colour, linewidth=1.4)
            fill = colour if run in certain else 'white'
            axes.plot([own[run].mean], [height], 'o', color=colour, markerfacecolor=fill)
        axes.plot([], [], 'o-', color=colour, linewidth=1.4, label=TEACHERS[stage])
    axes.set_yticks(range(len(ordered)), [benchmark_pairs.labels()[run] for run in ordered])
    axes.tick_params(axis='y', length=0)
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: number_format.quoted(tick, 'fraction')))
    axes.set_xlabel('difference from KD, in points of test accuracy')
