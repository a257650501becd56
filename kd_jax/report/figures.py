"""Draws the figures of a study, one PNG each; scatter plots are drawn in this module."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from kd_jax.config.ordinary_files import inside
from kd_jax.report import figure_style
from kd_jax.report.bar_figures import default_comparison, draw_bars, draw_comparison, draw_shares
from kd_jax.report.contents import Picture
from kd_jax.report.figure_style import MUTED, Drawn
from kd_jax.report.finding import Finding
from kd_jax.report.learning_curves import default_curves, draw_curves
from kd_jax.report.line_figures import default_sweeps, draw_lines, leading_sweep
from kd_jax.report.matrix_figures import draw_matrices, draw_soft_targets
from kd_jax.report.optimum_figures import draw_optima
from kd_jax.report.paper_claims import Claim
from kd_jax.report.path_words import axis_label
from kd_jax.report.result_files import Results, measures_of, split_reference
from kd_jax.report.stated_units import stated_in
from kd_jax.report.tables import Table


def draw(
    study: dict[str, Any],
    results: Results,
    out_dir: Path,
    tables: Sequence[Table],
    finding: Finding,
    claims: Sequence[Claim],
) -> list[Picture]:
    """Draws the figures of a study into `out_dir`; the first is the one that leads the report.

    The report section names them. A figure of each swept number, and learning curves, are added if it has none of them.
    The report leads with the figure that its `lead` names, else with the curve of the swept number that the finding is
    about, else with the rows of the table that the finding is about.
    """
    report = study.get('report') or {}
    entries = {**default_sweeps(results, tables, finding, report), **(report.get('figures') or {})}
    if not any(entry['kind'] == 'curves' for entry in entries.values()):
        entries |= default_curves(results, tables)
    lead = report.get('lead') or leading_sweep(entries, finding)
    if lead is None and (comparison := default_comparison(finding)):
        entries, lead = {**comparison, **entries}, next(iter(comparison))
    by_name = {claim.name: claim for claim in claims}
    for name, entry in entries.items():
        if entry['kind'] == 'shares':
            entries[name] = {**entry, 'claims': {label: by_name[one] for label, one in entry['claims'].items()}}
    ordered = {lead: entries[lead], **entries} if lead else entries
    out_dir.mkdir(parents=True, exist_ok=True)
    pictures = [_draw(name, entry, results, out_dir) for name, entry in ordered.items()]
    for stale in set(out_dir.glob('*.png')) - {picture.path for picture in pictures}:
        stale.unlink()
    return [dataclasses.replace(picture, leads=picture.name == lead) for picture in pictures]


def _draw(name: str, entry: dict[str, Any], results: Results, out_dir: Path) -> Picture:
    kinds: dict[str, Callable[[dict[str, Any], Results], Drawn]] = {
        'comparison': draw_comparison,
        'lines': draw_lines,
        'optima': draw_optima,
        'curves': draw_curves,
        'bars': draw_bars,
        'scatter': scatter,
        'shares': draw_shares,
        'matrices': draw_matrices,
        'soft_targets': draw_soft_targets,
    }
    title, caption = entry.get('title', name.replace('_', ' ')), entry.get('caption', '')
    with matplotlib.rc_context(figure_style.RC):
        figure, note = kinds[entry['kind']](entry, results)
        path = inside(out_dir, f'{name}.png') if figure else None
        if figure and path:
            figure_style.save(figure, path)
    return Picture(name, entry['kind'], title, caption, path, ' '.join(filter(None, (note, entry.get('note')))))


def scatter(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws the numbers of several runs over their costs, and names the runs on the Pareto front."""
    measures, gaps = measures_of({label: entry['values'][label] for label in entry['x']}, results)
    if not measures:
        return None, gaps
    costs = {label: entry['x'][label] for label in measures}
    stated = stated_in(results, *map(split_reference, entry['values'].values()))
    unit, sign = stated['unit'], 1 if stated.get('better') == 'lower' else -1
    figure, axes = figure_style.canvas(height=1.25 * figure_style.HEIGHT)
    of = entry.get('groups') or {}
    groups = list(dict.fromkeys(of.get(label, '') for label in measures))
    for group, colour in zip(groups, figure_style.colours(len(groups)), strict=True):
        own = {label: found for label, found in measures.items() if of.get(label, '') == group}
        x, y, sd = zip(*[(costs[label], found.mean, found.sd or 0.0) for label, found in own.items()], strict=True)
        axes.errorbar(
            x, y, sd if any(sd) else None, fmt='o', color=colour, elinewidth=0.8, capsize=0, alpha=0.85, label=group
        )
    losses = {label: sign * found.mean for label, found in measures.items()}
    front = [label for label in sorted(costs, key=lambda label: costs[label]) if _unbeaten(label, costs, losses)]
    axes.plot([costs[n] for n in front], [measures[n].mean for n in front], color=MUTED, linewidth=0.8, zorder=1)
    log_x = bool(entry.get('log_x')) and min(costs.values()) > 0
    figure_style.value_axis(axes, 'x', 'number', list(costs.values()), log_x)
    figure_style.value_axis(axes, 'y', unit, [found.mean for found in measures.values()])
    named = dict.fromkeys([*front, *entry.get('named', ())])
    figure_style.label_points(axes, [(costs[n], measures[n].mean, n) for n in named if n in measures])
    if len(groups) > 1:
        close = {'handletextpad': 0.0, 'columnspacing': 0.8}
        axes.legend(loc='lower left', bbox_to_anchor=(-0.04, 1.0), ncols=4, frameon=False, fontsize=9, **close)
    axes.set_xlabel(entry.get('xlabel', 'cost'))
    axes.set_ylabel(entry.get('ylabel', axis_label(next(iter(entry['values'].values())))))
    return figure, gaps


def _unbeaten(label: str, costs: dict[str, float], losses: dict[str, float]) -> bool:
    """Whether no other run is at least as good at no higher cost and better in one of the two; lower is better."""
    own = (costs[label], losses[label])
    others = [(costs[other], losses[other]) for other in losses if other != label]
    return not any(x <= own[0] and y <= own[1] and (x, y) != own for x, y in others)
