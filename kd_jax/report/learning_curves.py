"""Draws learning curves: a metric after each evaluation, as the mean over seeds and a band from lowest to highest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kd_jax.report import figure_style
from kd_jax.report.figure_style import PALETTE, Drawn
from kd_jax.report.path_words import EXAMPLES, axis_label, metric_in_words
from kd_jax.report.power_law import fit_power_law
from kd_jax.report.result_files import Curve, Results, curve_over_seeds, judged_split, matching_runs, measures_of
from kd_jax.report.stated_units import stated_in
from kd_jax.report.tables import Table, names_of_runs

FEW = 7  # the largest number of runs that a figure can name
FEW_PLACES = 5  # on the x axis, which have a tick each
FEW_POINTS = 3  # of a curve, which are marked because its straight lines say little


def default_curves(results: Results, tables: Sequence[Table]) -> dict[str, dict[str, Any]]:
    """Returns one figure per evaluation that was made more than once, on validation examples if there are any.

    It shows the metric that chooses the best epoch. A run is named as in the tables, if they give it one name.
    """
    entries: dict[str, dict[str, Any]] = {}
    for run, seeds in results.items():
        result = next(iter(seeds.values()))
        for network in judged_split(result)[1]:
            metric = result['best_by'][network]
            for split in ('valid', 'test'):
                y = f'{split}.{network}.{metric}'
                curve = curve_over_seeds(results, run, y)
                if curve and len(curve.epochs) > 1:
                    name = figure_style.file_stem(f'curves-{split}-{network}-{metric}')
                    entries.setdefault(name, _default(y, split, network, metric))['runs'].append(run)
                    break
    return {
        name: {**entry, 'runs': {label: run for run, label in names_of_runs(entry['runs'], tables).items()}}
        for name, entry in entries.items()
    }


def _default(y: str, split: str, network: str, metric: str) -> dict[str, Any]:
    caption = (
        f'On {EXAMPLES[split]} examples, after each evaluation: mean over seeds, and a band from the lowest to the '
        'highest.'
    )
    title = f'Learning curves: {metric_in_words(metric)} of {network}'
    return {'kind': 'curves', 'runs': [], 'y': y, 'title': title, 'caption': caption}


def draw_curves(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws one line per run, from its history. Of more than `FEW` runs, names only the lowest and the highest.

    The x axis is the epoch, or what an epoch has `per_epoch` of, such as tokens. With `times`, a dashed power law
    continues each curve to `times` its end, unless there are more than `FEW`, which have no colours.
    """
    runs, scale = matching_runs(results, entry['runs']), entry.get('per_epoch', 1)
    curves = {run: curve for run in runs if (curve := curve_over_seeds(results, run, entry['y']))}
    names = _labels(entry['runs'], results)
    found = {names.get(run, run): curve._replace(epochs=scale * curve.epochs) for run, curve in curves.items()}
    gaps = [f'{run} has no {entry["y"]} in its history.' for run in runs if run not in curves]
    if not found:
        return None, ' '.join(gaps) or f'no run that matches {entry["runs"]} has been run yet.'
    figure, axes = figure_style.canvas()
    ends = _few(axes, found) if len(found) <= FEW else _many(axes, found)
    unit = stated_in(results, *((run, entry['y']) for run in curves))['unit']
    references, unknown = measures_of(entry.get('reference') or {}, results)
    for label, measure in references.items():
        axes.axhline(measure.mean, color=figure_style.MUTED, linestyle=':', linewidth=1.2)
        ends.append((measure.mean, label, figure_style.MUTED))
    times = entry.get('times') if len(found) <= FEW else None
    laws = _laws(axes, found, times) if times else {}
    ends_of_lines = [np.array([end for end, *_ in ends]), *laws.values()]
    values = np.concatenate([*ends_of_lines, *(np.concatenate(curve[1:]) for curve in found.values())])
    log = unit != 'fraction' and values.min() > 0 and values.max() / values.min() > 8
    figure_style.value_axis(axes, 'y', unit, values.tolist(), log)
    axes.margins(x=0.01)
    figure_style.label_ends(axes, [(laws[label][-1] if label in laws else end, label, c) for end, label, c in ends])
    if entry.get('log_x') and all((places > 0).any() for places, *_ in found.values()):
        reach = [x for places, *_ in found.values() for x in (places[places > 0][0], places[-1] * (times or 1))]
        figure_style.value_axis(axes, 'x', 'number', reach, log=True)
    elif len(places := sorted({float(x) for curve in found.values() for x in curve.epochs})) <= FEW_PLACES:
        figure_style.ticks_at(axes, places, log=False)
    else:
        figure_style.value_axis(axes, 'x', 'count' if scale == 1 else 'number', places)
    axes.set_xlabel(entry.get('xlabel', 'epoch'))
    axes.set_ylabel(entry.get('ylabel', axis_label(entry['y']) + (', log scale' if log else '')))
    return figure, ' '.join(filter(None, [*gaps, unknown]))


def _labels(runs: Any, results: Results) -> dict[str, str]:
    """The label of each run, if `runs` is a dictionary of them and a label has one run."""
    of = {label: matching_runs(results, globs) for label, globs in runs.items()} if isinstance(runs, Mapping) else {}
    return {own[0]: label for label, own in of.items() if len(own) == 1}


def _laws(axes: Axes, found: dict[str, Curve], times: float) -> dict[str, np.ndarray]:
    """Draws the power law of each curve up to `times` its end; returns the heights by the label of the curve."""
    heights = {}
    for (label, (places, mean, *_)), colour in zip(found.items(), PALETTE, strict=False):
        if law := fit_power_law(places, mean):
            x = np.geomspace(places[places > 0][0], places[-1] * times, 60)
            heights[label] = law.at(x)
            axes.plot(x, heights[label], color=colour, linestyle=(0, (3, 2)), linewidth=1.0)
    return heights


def _few(axes: Axes, found: dict[str, Curve]) -> list[tuple[float, str, str]]:
    ends = []
    for (run, (epochs, mean, low, high)), colour in zip(found.items(), PALETTE, strict=False):
        axes.plot(epochs, mean, color=colour, marker='o' if len(epochs) <= FEW_POINTS else None)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        ends.append((float(mean[-1]), run, colour))
    return ends


def _many(axes: Axes, found: dict[str, Curve]) -> list[tuple[float, str, str]]:
    ranked = sorted(found, key=lambda run: float(found[run][1][-1]))
    for run in ranked[1:-1]:
        axes.plot(found[run][0], found[run][1], color='#c3c8d0', linewidth=0.9)
    few = _few(axes, {ranked[0]: found[ranked[0]], ranked[-1]: found[ranked[-1]]})
    middle = float(found[ranked[len(ranked) // 2]][1][-1])
    return [*few, (middle, f'{len(ranked) - 2} others', figure_style.MUTED)]
