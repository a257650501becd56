"""Draws numbers of several runs side by side, and the figure that compares the rows of a table with their baseline."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kd_jax.report import figure_style, number_format
from kd_jax.report.figure_style import INK, MUTED, PALETTE, Drawn
from kd_jax.report.finding import Finding
from kd_jax.report.paper_claims import Claim
from kd_jax.report.path_words import axis_label
from kd_jax.report.result_files import Measure, Results, measures_of, split_reference
from kd_jax.report.stated_units import stated_in
from kd_jax.report.tables import Column, Row, Table

MANY, SHOWN = 16, 12  # of more than MANY rows, the SHOWN best are drawn, and the baseline and the teachers
PLAIN = '#a9b4c2'  # rows other than the one that the finding is about
WRAP = 26  # characters


@dataclasses.dataclass(frozen=True)
class _Bar:
    label: str
    measure: Measure
    colour: str = PALETTE[0]
    paper: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest number that is drawn."""
        sd = self.measure.sd or 0.0
        papers = [] if self.paper is None else [self.paper]
        return min(self.measure.mean - sd, *papers, np.inf), max(self.measure.mean + sd, *papers, -np.inf)


def draw_bars(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws a bar from zero for each number, with its standard deviation; fractions above 1/2 become dots instead."""
    measures, gaps = measures_of(entry['values'], results)
    if not measures:
        return None, gaps
    unit = stated_in(results, *map(split_reference, entry['values'].values()))['unit']
    figure, axes = figure_style.canvas(height=0.9 + 0.42 * len(measures))
    _draw(axes, [_Bar(label, measure) for label, measure in measures.items()], unit)
    default = axis_label(next(iter(entry['values'].values())))
    axes.set_xlabel(entry.get('xlabel') or entry.get('ylabel') or default)  # the bars are horizontal
    return figure, gaps


def draw_shares(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws the share or ratio that each claim states, and its standard deviation over seeds; the paper's as a diamond.

    Ratios above 1/2 are dots, so that their axis need not begin at 0.
    """
    claims: dict[str, Claim] = entry['claims']
    bars = [
        _Bar(label, _around(claim.of_means, claim.seedwise), PALETTE[0], claim.paper)
        for label, claim in claims.items()
        if claim.seedwise and claim.of_means is not None
    ]
    gaps = ' '.join(claim.sentence for claim in claims.values() if not claim.seedwise or claim.of_means is None)
    if not bars:
        return None, gaps
    figure, axes = figure_style.canvas(height=0.9 + 0.42 * len(bars))
    ratios = all(claim.kind == 'ratio' for claim in claims.values())
    _draw(axes, bars, 'fraction', dotted=ratios, digits=1 if ratios else 0)
    axes.axvline(1, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, zorder=0.5)
    axes.set_xlabel(entry.get('xlabel', 'share'))
    return figure, gaps


def _around(number: float, seedwise: Measure) -> Measure:
    """The same spread around the number of the claim: the share of the means, which is not the mean of the shares."""
    return Measure({seed: value + number - seedwise.mean for seed, value in seedwise.by_seed.items()})


def default_comparison(finding: Finding) -> dict[str, dict[str, Any]]:
    """Returns the figure of the finding's table; none if the table has fewer than two numbers to compare."""
    if finding.table is None:
        return {}
    place = _place(finding.table)
    column, baseline = finding.table.columns[place], finding.table.baseline
    rows = [row for row in finding.table.rows if row.cells[place].compared]
    if len(rows) < 2:
        return {}
    shown = rows if len(rows) <= MANY else _best(rows, place, column.better, finding.row)
    spread = any(measure.n > 1 for row in shown if (measure := row.cells[place].measure))
    words = ['Mean and standard deviation over seeds.' if spread else 'One seed.']
    words += ['The dashed line is the baseline.'] if baseline in shown else []
    words += (
        ['The diamonds are the paper’s numbers.'] if any(row.cells[place].paper is not None for row in shown) else []
    )
    words += (
        [f'Of {len(rows)} rows, the {SHOWN} best are shown, the baseline and the teachers.'] if shown != rows else []
    )
    return {
        figure_style.file_stem(f'compared-{finding.table.name}'): {
            'kind': 'comparison', 'rows': shown, 'place': place, 'column': column, 'about': finding.row,
            'title': finding.table.title, 'caption': ' '.join(words),
        }
    }  # fmt: skip


def _place(table: Table) -> int:
    """The index of the column that is drawn: the compared one, or the first that states which way is better."""
    judged = [i for i, column in enumerate(table.columns) if column.better]
    return table.compared if table.compared is not None else judged[0]


def _best(rows: Sequence[Row], place: int, better: str | None, about: Row | None) -> list[Row]:
    """The best rows, the best first, and the baseline, the teachers and the row that the finding is about."""

    def mean(row: Row) -> float:
        measure = row.cells[place].measure
        return measure.mean if measure else np.nan

    ranked = sorted(rows, key=mean, reverse=better == 'higher')
    best = [row for row in ranked if row.role == ''][:SHOWN]
    return [row for row in ranked if row in best or row.role or row == about]


def draw_comparison(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws one column of a table: a row each, the baseline as a line, and the paper's numbers as diamonds."""
    place, about = entry['place'], entry['about']
    rows: list[Row] = entry['rows']
    column: Column = entry['column']
    bars = [
        _Bar(textwrap.fill(row.label, WRAP), measure, PALETTE[0] if about in (row, None) else PLAIN, cell.paper)
        for row in rows
        if (cell := row.cells[place]) and (measure := cell.measure)
    ]
    figure, axes = figure_style.canvas(height=1.0 + 0.4 * sum(1 + 0.4 * bar.label.count('\n') for bar in bars))
    _draw(axes, bars, column.unit)
    for row, bar in zip(rows, bars, strict=True):
        if row.role == 'baseline':
            axes.axvline(bar.measure.mean, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, zorder=0.5)
    axes.set_xlabel(number_format.heading(column.heading, column.unit))
    return figure, ''


def _draw(axes: Axes, bars: Sequence[_Bar], unit: str, dotted: bool = True, digits: int | None = None) -> None:
    """Draws horizontal bars, or dots for fractions above 1/2, and writes each number at its right end."""
    dots = dotted and unit == 'fraction' and min(bar.measure.mean for bar in bars) > 0.5
    zero = [] if dots else [0.0]
    for place, bar in enumerate(reversed(bars)):
        mean, spread = bar.measure.mean, bar.measure.sd or None
        if dots:
            axes.errorbar(mean, place, fmt='o', xerr=spread, color=bar.colour, ecolor=INK, markersize=7)
        else:
            axes.barh(place, mean, xerr=spread, height=0.62, color=bar.colour, ecolor=INK)
        if bar.paper is not None:
            axes.plot(bar.paper, place, marker='D', markersize=6, color='white', markeredgecolor=PALETTE[1], zorder=4)
        text = number_format.with_unit(number_format.measured(bar.measure, unit, digits), unit)
        end = max(bar.ends[1], *zero, -np.inf)
        white = {'facecolor': 'white', 'edgecolor': 'none', 'pad': 1}
        axes.annotate(text, (end, place), (7, 0), textcoords='offset points', va='center', fontsize=9.5, bbox=white)
    if not dots:
        axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(bars)), [bar.label for bar in reversed(bars)])
    axes.grid(visible=False, axis='y')
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)
    _room(axes, min([*zero, *(bar.ends[0] for bar in bars)]), max([*zero, *(bar.ends[1] for bar in bars)]))
    figure_style.value_axis(axes, 'x', unit, axes.get_xlim())


def _room(axes: Axes, low: float, high: float) -> None:
    """Sets the limits and leaves space at the right for the numbers beside the bars."""
    span = (high - low) or abs(high) or 1.0
    axes.set_xlim(low - (0.05 * span if low else 0.0), high + 0.34 * span)
