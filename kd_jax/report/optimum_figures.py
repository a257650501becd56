"""Draws a number over a setting of the config in one panel per group of runs, and marks the best setting of each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd_jax.report import figure_style
from kd_jax.report.figure_style import INK, MUTED, Drawn
from kd_jax.report.optimum import optimum, optimum_in_words
from kd_jax.report.path_words import axis_label, last_key
from kd_jax.report.result_files import Measure, Results
from kd_jax.report.stated_units import stated_in
from kd_jax.report.swept_numbers import Swept, grouped, repeated, with_labels

COLUMNS = 2
PANEL_HEIGHT = 2.5  # inches


def draw_optima(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws one panel per group of runs: the mean, and a band of one standard error over seeds.

    The grey stripe is the 95% interval of the best setting (see `optimum`), and the ring is the best mean. If the entry
    has a second path `beside`, its means are drawn as a dashed line, which has no part in the choice. Nothing is drawn
    if several runs of a panel have the same setting: they differ in something else, which the panel would hide.
    """
    groups, gaps = grouped(with_labels(entry, results), results)
    same = next(filter(None, (repeated(group, entry['x']) for group in groups.values())), '')
    if same or not groups:
        return None, f'{same} {gaps}'.strip()
    stated = stated_in(results, *((own.run, entry['y']) for group in groups.values() for own in group))
    rows, columns = math.ceil(len(groups) / COLUMNS), min(COLUMNS, len(groups))
    width = figure_style.WIDTH * (1.3 if columns > 1 else 1)
    figure = Figure(figsize=(width, PANEL_HEIGHT * rows), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, group), colour in zip(panels, groups.items(), figure_style.colours(len(groups)), strict=False):
        _panel(axes, sorted(group, key=lambda own: own.x), colour, entry, stated)
        axes.set_title(f'{name}: {axes.get_title()}' if name else axes.get_title(), fontsize=10.5, color=INK)
    for axes in panels[len(groups) :]:
        axes.remove()
    figure.supxlabel(entry.get('xlabel', last_key(entry['x'])), fontsize=10.5, color=INK)
    figure.supylabel(entry.get('ylabel', axis_label(entry['y'])), fontsize=10.5, color=INK)
    return figure, gaps


def _panel(axes: Axes, group: Sequence[Swept], colour: str, entry: dict[str, Any], stated: Any) -> None:
    x = [own.x for own in group]
    mean, error = np.array([own.y.mean for own in group]), np.array([_standard_error(own.y) for own in group])
    log = bool(entry.get('log_x')) and min(x) > 0
    found = optimum({own.x: own.y for own in group}, lower=stated.get('better') != 'higher')
    if found:
        low, high = _cells(x, found.interval, log) if found.interval else (found.best, found.best)
        axes.axvspan(low, high, color=MUTED, alpha=0.15, linewidth=0)
        at = x.index(found.best)
        axes.plot(x[at], mean[at], marker='o', markersize=11, color=colour, markerfacecolor='none', linestyle='')
        axes.set_title(f'best at {optimum_in_words(found)}')
    axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, marker='o', markeredgecolor='white')
    beside = [(own.x, own.beside.mean) for own in group if own.beside]
    if beside:
        axes.plot(*zip(*beside, strict=True), color=colour, linestyle=(0, (3, 2)), linewidth=1.2)
    figure_style.ticks_at(axes, x, log)
    reach = [*(mean - error), *(mean + error), *(y for _, y in beside)]
    figure_style.value_axis(axes, 'y', stated['unit'], reach, bool(entry.get('log_y')) and min(reach) > 0)


def _standard_error(measure: Measure) -> float:
    return (measure.sd or 0.0) / math.sqrt(measure.n)


def _cells(settings: Sequence[float], interval: tuple[float, float], log: bool) -> tuple[float, float]:
    """The interval, widened on each side to the middle between its last setting and the next one."""
    places = np.log(settings) if log else np.array(settings)
    edges = np.concatenate([places[:1], (places[1:] + places[:-1]) / 2, places[-1:]])
    low, high = (list(settings).index(end) for end in interval)
    ends = edges[low], edges[high + 1]
    return (math.exp(ends[0]), math.exp(ends[1])) if log else (float(ends[0]), float(ends[1]))
