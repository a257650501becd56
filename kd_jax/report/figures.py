"""Draws the figures of a study, one PNG each; lines, bars and scatter plots are drawn in this module."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from kd_jax.config.ordinary_files import inside, replacing
from kd_jax.report import figure_style, number_format
from kd_jax.report.contents import Picture
from kd_jax.report.figure_style import INK, MUTED, PALETTE, Drawn
from kd_jax.report.learning_curves import default_curves, draw_curves
from kd_jax.report.matrix_figures import draw_matrices, draw_soft_targets
from kd_jax.report.result_files import (
    Measure,
    Results,
    matching_runs,
    measure_over_seeds,
    number,
    split_reference,
    value_at_path,
    why_missing,
)
from kd_jax.report.stated_units import stated_in

Point = tuple[float, float, float]  # x, mean, standard deviation


def draw(study: dict[str, Any], results: Results, out_dir: Path) -> list[Picture]:
    """Draws the figures of the report section into `out_dir`; adds learning curves if the section has none."""
    entries = dict((study.get('report') or {}).get('figures') or {})
    if not any(entry['kind'] == 'curves' for entry in entries.values()):
        entries |= default_curves(results)
    out_dir.mkdir(parents=True, exist_ok=True)
    pictures = [_draw(name, entry, results, out_dir) for name, entry in entries.items()]
    for stale in set(out_dir.glob('*.png')) - {picture.path for picture in pictures}:
        stale.unlink()
    return pictures


def _draw(name: str, entry: dict[str, Any], results: Results, out_dir: Path) -> Picture:
    kinds: dict[str, Callable[[dict[str, Any], Results], Drawn]] = {
        'lines': lines,
        'curves': draw_curves,
        'bars': bars,
        'scatter': scatter,
        'matrices': draw_matrices,
        'soft_targets': draw_soft_targets,
    }
    title, caption = entry.get('title', name.replace('_', ' ')), entry.get('caption', '')
    with matplotlib.rc_context(figure_style.RC):
        figure, note = kinds[entry['kind']](entry, results)
        path = inside(out_dir, f'{name}.png') if figure else None
        if figure and path:
            with replacing(path) as part:
                figure.savefig(part, format='png', dpi=figure_style.DPI, metadata={'Software': None})
    return Picture(name, entry['kind'], title, caption, path, note)


def lines(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws a number over a setting of the config, one line per group: mean and standard deviation over seeds."""
    groups, gaps = _groups(entry, results)
    if not groups:
        return None, gaps
    figure, axes = figure_style.canvas()
    unit = stated_in(results, *((run, entry['y']) for run in matching_runs(results, entry['runs'])))['unit']
    log_x, log_y = bool(entry.get('log_x')), bool(entry.get('log_y'))
    ends, reach = [], []
    for (name, points), colour in zip(groups.items(), _colours(len(groups)), strict=True):
        x, y, sd = (np.array(column) for column in zip(*sorted(points), strict=True))
        axes.errorbar(x, y, sd if sd.any() else None, marker='o', color=colour, markeredgecolor='white')
        ends.append((y[-1], name, colour))
        reach += [*(y - sd), *(y + sd)]
    references, unknown = _measures(entry.get('reference') or {}, results)
    for (label, found), dashes in zip(references.items(), itertools.cycle(('--', ':', '-.')), strict=False):
        axes.axhline(found.mean, color=MUTED, linestyle=dashes, linewidth=1.2)
        ends.append((found.mean, label, MUTED))
        reach.append(found.mean)
    places = [x for points in groups.values() for x, _, _ in points]
    figure_style.ticks_at(axes, places, log_x and min(places) > 0)
    log_y = log_y and min(reach) > 0
    figure_style.value_axis(axes, 'y', unit, reach, log_y)
    figure_style.label_ends(axes, [end for end in ends if end[1]])
    axes.set_xlabel(entry.get('xlabel', _last(entry['x'])))
    axes.set_ylabel(entry.get('ylabel', _last(entry['y'])))
    return figure, f'{gaps} {unknown}'.strip()


def _groups(entry: dict[str, Any], results: Results) -> tuple[dict[str, list[Point]], str]:
    """Returns points by the label of their group, sorted by the group's value, and says which runs have no point."""
    runs = matching_runs(results, entry['runs'])
    found: dict[Any, list[Point]] = {}
    gaps = [] if runs else [f'no run that matches {entry["runs"]} has been run yet.']
    for run in runs:
        any_seed = next(iter(results[run].values()))
        x, y = number(any_seed, entry['x']), measure_over_seeds(results, run, entry['y'])
        if x is None or y is None:
            gaps.append(why_missing(results, run, entry['x'] if x is None else entry['y']))
            continue
        found.setdefault(_group(any_seed, entry.get('by')), []).append((x, y.mean, y.sd or 0.0))
    label = entry.get('by_label', f'{_last(entry.get("by", ""))} {{}}')
    ordered = sorted(found, key=lambda key: (isinstance(key, str), key))
    groups = {label.replace('{}', _short(key)) if 'by' in entry else '': found[key] for key in ordered}
    return groups, ' '.join(gaps)


def _measures(values: dict[str, str], results: Results) -> tuple[dict[str, Measure], str]:
    """Returns the number at each 'run:path', by label, and says which of them are missing."""
    found = {label: measure_over_seeds(results, *split_reference(text)) for label, text in values.items()}
    gaps = [why_missing(results, *split_reference(values[label])) for label, value in found.items() if value is None]
    return {label: value for label, value in found.items() if value}, ' '.join(dict.fromkeys(gaps))


def _stated(entry: dict[str, Any], results: Results) -> Mapping[str, Any]:
    """What is stated about the numbers of an entry's 'values': their unit, and which way is better."""
    return stated_in(results, *map(split_reference, entry['values'].values()))


def _group(result: dict[str, Any], by: str | None) -> Any:
    try:
        value = value_at_path(result, by) if by else ''
    except KeyError:
        return number_format.DASH
    return value if isinstance(value, int | float | str) else str(value)


def _short(value: Any) -> str:
    return f'{value:,.6g}' if isinstance(value, int | float) else str(value)


def _last(path: str) -> str:
    return next((key for key in reversed(path.split('.')) if not key.isdecimal()), '')


def _colours(count: int) -> list[str]:
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    return [to_hex(colour) for colour in matplotlib.colormaps[figure_style.MAPS](np.linspace(0, 0.9, count))]


def bars(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws a bar from zero for each number, with its standard deviation; fractions above 1/2 become dots instead."""
    measures, gaps = _measures(entry['values'], results)
    if not measures:
        return None, gaps
    unit = _stated(entry, results)['unit']
    means = [m.mean for m in measures.values()]
    sds = [m.sd or 0.0 for m in measures.values()]
    figure, axes = figure_style.canvas(height=0.9 + 0.42 * len(measures))
    places = np.arange(len(measures))[::-1]
    dots = unit == 'fraction' and min(means) > 0.5
    spread = sds if any(sds) else None
    if dots:
        axes.errorbar(means, places, fmt='o', xerr=spread, color=PALETTE[0], ecolor=INK, markersize=7)
    else:
        axes.barh(places, means, xerr=spread, height=0.62, color=PALETTE[0], ecolor=INK)
        axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks(places, list(measures))
    axes.grid(visible=False, axis='y')
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    low, high = (min(m - s for m, s in zip(means, sds, strict=True)), max(np.add(means, sds)))
    _room(axes, low if dots else min(low, 0.0), high if dots else max(high, 0.0))
    figure_style.value_axis(axes, 'x', unit, axes.get_xlim())
    for place, value, sd in zip(places, measures.values(), sds, strict=True):
        text, end = number_format.with_unit(number_format.measured(value, unit), unit), (max(value.mean + sd, 0), place)
        axes.annotate(text, end, (6, 0), textcoords='offset points', va='center', fontsize=9.5)
    default = _last(next(iter(entry['values'].values())))
    axes.set_xlabel(entry.get('xlabel') or entry.get('ylabel') or default)  # the bars are horizontal
    return figure, gaps


def scatter(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws the numbers of several runs over their costs, and names the runs on the Pareto front."""
    measures, gaps = _measures({label: entry['values'][label] for label in entry['x']}, results)
    if not measures:
        return None, gaps
    costs = {label: entry['x'][label] for label in measures}
    stated = _stated(entry, results)
    unit, sign = stated['unit'], 1 if stated.get('better') == 'lower' else -1
    figure, axes = figure_style.canvas(height=1.25 * figure_style.HEIGHT)
    of = entry.get('groups') or {}
    groups = list(dict.fromkeys(of.get(label, '') for label in measures))
    for group, colour in zip(groups, _colours(len(groups)), strict=True):
        own = {label: found for label, found in measures.items() if of.get(label, '') == group}
        x, y, sd = zip(*[(costs[label], found.mean, found.sd or 0.0) for label, found in own.items()], strict=True)
        axes.errorbar(
            x, y, sd if any(sd) else None, fmt='o', color=colour, elinewidth=0.8, capsize=0, alpha=0.85, label=group
        )
    losses = {label: sign * found.mean for label, found in measures.items()}
    front = [label for label in sorted(costs, key=lambda label: costs[label]) if _unbeaten(label, costs, losses)]
    axes.plot([costs[n] for n in front], [measures[n].mean for n in front], color=MUTED, linewidth=0.8, zorder=1)
    figure_style.value_axis(axes, 'x', 'number', list(costs.values()), bool(entry.get('log_x')))
    figure_style.value_axis(axes, 'y', unit, [found.mean for found in measures.values()])
    named = dict.fromkeys([*front, *entry.get('named', ())])
    figure_style.label_points(axes, [(costs[n], measures[n].mean, n) for n in named if n in measures])
    if len(groups) > 1:
        close = {'handletextpad': 0.0, 'columnspacing': 0.8}
        axes.legend(loc='lower left', bbox_to_anchor=(-0.04, 1.0), ncols=4, frameon=False, fontsize=9, **close)
    axes.set_xlabel(entry.get('xlabel', 'cost'))
    axes.set_ylabel(entry.get('ylabel', _last(next(iter(entry['values'].values())))))
    return figure, gaps


def _unbeaten(label: str, costs: dict[str, float], losses: dict[str, float]) -> bool:
    """Whether no other run is at least as good at no higher cost and better in one of the two; lower is better."""
    own = (costs[label], losses[label])
    others = [(costs[other], losses[other]) for other in losses if other != label]
    return not any(x <= own[0] and y <= own[1] and (x, y) != own for x, y in others)


def _room(axes: Axes, low: float, high: float) -> None:
    """Sets the limits and leaves space at the right for the numbers beside the bars."""
    span = (high - low) or abs(high) or 1.0
    axes.set_xlim(low - (0.05 * span if low else 0.0), high + 0.34 * span)
