"""Draws a number over a setting of the config; adds such a figure for every number that a study sweeps."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kd_jax.report import figure_style
from kd_jax.report.figure_style import MUTED, Drawn
from kd_jax.report.finding import Finding
from kd_jax.report.path_words import axis_label, differs, last_key, metric_in_words
from kd_jax.report.result_files import Results, judged_split, matching_runs, measure_over_seeds, measures_of
from kd_jax.report.stated_units import stated_in
from kd_jax.report.swept_numbers import Sweep, Swept, find_sweeps, grouped, repeated, with_labels
from kd_jax.report.tables import Table, names_of_runs

Point = tuple[float, float, float]  # x, mean, standard deviation


MOST = 6  # the largest number of swept numbers that a report draws without being asked
OF_SCHEDULES = {'peak': 'peak', 'start': 'initial', 'end': 'final'}


def draw_lines(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws one line per group of runs: the mean, and a band of one standard deviation over seeds.

    If the entry has a second path `beside`, its numbers are drawn as dashed lines. Nothing is drawn if several runs of
    a line have the same setting: they differ in something else, which the line would hide.
    """
    found, gaps = grouped(with_labels(entry, results), results)
    same = next(filter(None, (repeated(group, entry['x']) for group in found.values())), '')
    if same or not found:
        return None, f'{same} {gaps}'.strip()
    groups = {name: _points(group) for name, group in found.items()}
    figure, axes = figure_style.canvas()
    unit = stated_in(results, *((run, entry['y']) for run in matching_runs(results, entry['runs'])))['unit']
    ends, reach = [], []
    for (name, (points, beside)), colour in zip(groups.items(), figure_style.colours(len(groups)), strict=True):
        ends.append((_line(axes, points, colour), name or ('test' if beside else ''), colour))
        reach += [end for _, mean, sd in points for end in (mean - sd, mean + sd)]
        if beside:
            ends.append((_line(axes, beside, colour, dashed=True), '' if name else 'validation', colour))
            reach += [mean for _, mean, _ in beside]
    references, unknown = measures_of(entry.get('reference') or {}, results)
    for (label, measure), dashes in zip(references.items(), itertools.cycle(('--', ':', '-.')), strict=False):
        axes.axhline(measure.mean, color=MUTED, linestyle=dashes, linewidth=1.2)
        ends.append((measure.mean, label, MUTED))
        reach.append(measure.mean)
    places = [x for points, _ in groups.values() for x, _, _ in points]
    figure_style.ticks_at(axes, places, bool(entry.get('log_x')) and min(places) > 0)
    log_y = bool(entry.get('log_y')) and min(reach) > 0
    figure_style.value_axis(axes, 'y', unit, reach, log_y)
    figure_style.label_ends(axes, [end for end in ends if end[1]])
    axes.set_xlabel(entry.get('xlabel', last_key(entry['x'])))
    axes.set_ylabel(entry.get('ylabel', axis_label(entry['y'])))
    return figure, f'{gaps} {unknown}'.strip()


def _line(axes: Axes, points: Sequence[Point], colour: str, dashed: bool = False) -> float:
    """Draws one line and its band; returns the height of its right end."""
    x, y, sd = (np.array(column) for column in zip(*sorted(points), strict=True))
    style: dict[str, Any] = {'linestyle': (0, (3, 2)), 'linewidth': 1.2} if dashed else {'marker': 'o'}
    axes.plot(x, y, color=colour, markeredgecolor='white', **style)
    if sd.any() and not dashed:
        axes.fill_between(x, y - sd, y + sd, color=colour, alpha=0.18, linewidth=0)
    return float(y[-1])


def _points(group: Sequence[Swept]) -> tuple[list[Point], list[Point]]:
    """The points of a line, and those beside it."""
    return (
        [(own.x, own.y.mean, own.y.sd or 0.0) for own in group],
        [(own.x, own.beside.mean, own.beside.sd or 0.0) for own in group if own.beside],
    )


def default_sweeps(
    results: Results, tables: Sequence[Table], finding: Finding, report: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Returns a figure for each swept number, without what a figure of the report draws; at most `MOST` of them."""
    drawn = [
        set(matching_runs(results, figure['runs']))
        for figure in (report.get('figures') or {}).values()
        if figure['kind'] in ('lines', 'optima')
    ]
    found = [sweep.without(drawn) for sweep in find_sweeps(results)]
    shown = [sweep for sweep in found if sweep.lines]
    about = finding.row.run if finding.row else ''
    shown.sort(key=lambda sweep: about not in sweep.values)
    entries: dict[str, dict[str, Any]] = {}
    for sweep in shown[:MOST]:
        names = names_of_runs(list(sweep.values), tables)
        entries |= _figures(sweep.called(names), results, _table_of(sweep, tables))
    if entries and len(shown) > MOST:
        entries[next(reversed(entries))]['note'] = f'{len(shown) - MOST} more swept numbers.'
    return entries


def _table_of(sweep: Sweep, tables: Sequence[Table]) -> Table | None:
    """The first table that compares a run of the sweep with a baseline."""
    compared = (table for table in tables if table.compared is not None)
    return next((table for table in compared if any(row.run in sweep.values for row in table.rows)), None)


def _figures(sweep: Sweep, results: Results, table: Table | None) -> dict[str, dict[str, Any]]:
    """One figure for each network that the runs of a sweep evaluate.

    It shows the metric in which the table compares these runs, or else the one that chooses the best epoch.
    """
    run = next(iter(sweep.values))
    first = next(iter(results[run].values()))
    split, networks = judged_split(first)
    compared = _compared_paths(table)
    entries = {}
    for network in networks:
        y = f'last.{split}.{network}.{first["best_by"][network]}'
        y = compared[run] if f'.{network}.' in compared.get(run, '') else y
        unit, metric, reference = stated_in(results, (run, y))['unit'], metric_in_words(y), _reference(table, y)
        beside = {'beside': y.replace('.test.', '.valid.')} if '.test.' in y and first['last'].get('valid') else {}
        measured = [measure_over_seeds(results, one, y) for one in sweep.values]
        measured += measures_of(reference, results)[0].values()
        means = [measure.mean for measure in measured if measure]
        places = list(sweep.values.values())
        entries[figure_style.file_stem(f'sweep-{sweep.path}-{network}')] = {
            'kind': 'lines', 'runs': list(sweep.values), 'x': f'config.{sweep.path}', 'y': y, **beside,
            'of': {run: label for label, runs in sweep.lines.items() for run in runs},
            'log_x': min(places) > 0 and max(places) >= 10 * min(places),
            'log_y': unit != 'fraction' and bool(means) and 0 < 8 * min(means) < max(means),
            'reference': reference, 'title': f'{metric[:1].upper()}{metric[1:]} of {network} over {_named(sweep.path)}',
            'xlabel': _named(sweep.path), 'ylabel': axis_label(y),
            'caption': _caption(sweep, bool(beside), unit, any(measure.n > 1 for measure in measured if measure)),
        }  # fmt: skip
    return entries


def _compared_paths(table: Table | None) -> dict[str, str]:
    """The value path by which the table compares each run."""
    if table is None or table.compared is None:
        return {}
    return {row.run: row.cells[table.compared].path for row in table.rows if row.cells[table.compared].measure}


def _reference(table: Table | None, y: str) -> dict[str, str]:
    """The baseline and the teachers of the table, if they are measured by the same metric on the same examples."""
    if table is None or table.compared is None:
        return {}
    shown = [(row, row.cells[table.compared]) for row in table.rows if row.role]
    return {row.label: f'{row.run}:{cell.path}' for row, cell in shown if cell.measure and not differs(cell.path, y)}


def _caption(sweep: Sweep, beside: bool, unit: str, several_seeds: bool) -> str:
    words = ['Mean over seeds, and a band of one standard deviation.' if several_seeds else 'One seed.']
    if beside:
        scaled = ', scaled to as many examples' if unit == 'count' else ''
        words.append(f'Solid: test examples. Dashed: validation examples{scaled}.')
    if len(sweep.lines) == 1:
        first, *_, last = sorted(sweep.values, key=lambda run: sweep.values[run])
        words.append(f'Runs: {first} to {last}.')
    return ' '.join(words)


def _named(path: str) -> str:
    """A path of the config in words, such as 'temperature of soft' for terms.soft.t."""
    keys = [key for key in path.split('.') if not key.isdecimal()]
    named = keys[0] in ('terms', 'networks') and len(keys) > 2
    own = keys[2:] if named else keys[1:] or keys
    if own[1:] and own[-1] in OF_SCHEDULES:
        own = [*own[:-2], f'{OF_SCHEDULES[own[-1]]} {own[-2]}']
    words = 'temperature' if own == ['t'] else '.'.join(own).replace('_', ' ')
    return f'{words} of {keys[1]}' if named else words


def leading_sweep(entries: Mapping[str, Mapping[str, Any]], finding: Finding) -> str | None:
    """The name of the figure that was added for the swept number that the finding is about."""
    run = finding.row.run if finding.row else None
    return next((name for name, entry in entries.items() if run in entry.get('of', ())), None)
