"""Draws figures with several panels: matrices and soft targets."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from kd_jax.config.checked_json import misfit
from kd_jax.config.file_schemas import SoftTargets
from kd_jax.report import figure_style
from kd_jax.report.figure_style import INK, MUTED, PALETTE, Drawn
from kd_jax.report.result_files import Results, split_reference, value_at_path, why_missing

FLOOR = 1e-6  # smaller probabilities are drawn as this value


def _first_seed(results: Results, run: str, path: str) -> Any:
    """Returns the value at `path` in the result of the run's lowest seed; None if there is none."""
    try:
        return value_at_path(next(iter(results[run].values())), path)
    except KeyError:
        return None


def draw_matrices(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws [C, C] matrices of the lowest seed on one colour scale, logarithmic unless a value is negative."""
    found = {label: _matrix(results, text) for label, text in entry['values'].items()}
    shown = {label: matrix for label, matrix in found.items() if matrix is not None}
    gaps = [why_missing(results, *split_reference(entry['values'][label])) for label in found if label not in shown]
    note = ' '.join(dict.fromkeys(gaps))
    if not shown:
        return None, note
    norm = _scale(np.concatenate([matrix.ravel() for matrix in shown.values()]))
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.8, 3.4 * rows), layout='compressed')
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, (label, matrix) in zip(grid.flat, shown.items(), strict=False):
        axes.imshow(np.clip(matrix, norm.vmin, None), norm=norm, cmap=figure_style.MAPS)
        _matrix_axes(axes, label, len(matrix), entry)
    bar = figure.colorbar(
        ScalarMappable(norm, figure_style.MAPS), ax=grid, shrink=0.8, pad=0.02, label=entry.get('label', '')
    )
    bar.outline.set_visible(False)
    if isinstance(norm, LogNorm):
        bar.ax.yaxis.set_major_formatter(figure_style.power_of_ten)
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return figure, note


def _matrix(results: Results, text: str) -> np.ndarray | None:
    try:
        matrix = np.array(_first_seed(results, *split_reference(text)), float)
    except (TypeError, ValueError):
        return None
    return matrix if matrix.ndim == 2 and np.isfinite(matrix).any() else None


def _scale(values: np.ndarray) -> Normalize:
    values = values[np.isfinite(values)]
    if (values < 0).any() or not (values > 0).any():
        return Normalize(values.min(), max(values.max(), values.min() + 1e-9))
    low = values[values > 0].min()
    return LogNorm(low, max(values.max(), 1.001 * low))


def _matrix_axes(axes: Axes, label: str, classes: int, entry: dict[str, Any]) -> None:
    axes.set_title(label, fontsize=10.5, color=INK)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    step = -(-classes // 10)
    axes.set_xticks(range(0, classes, step))
    axes.set_yticks(range(0, classes, step))
    axes.set_xlabel(entry.get('xlabel', 'class'))
    axes.set_ylabel(entry.get('ylabel', 'class'))


def draw_soft_targets(entry: dict[str, Any], results: Results) -> Drawn:
    """Draws one row per image: the image and, for each temperature, the teacher's probabilities on a log scale."""
    path = f'analyses.{entry["analysis"]}'
    analysis = _first_seed(results, entry['run'], path)
    if not _are_soft_targets(analysis):
        missing = why_missing(results, entry['run'], path)
        return None, missing if analysis is None else f'{entry["run"]} has no soft targets to show at {path}.'
    temperatures, examples = analysis['temperatures'], analysis['examples']
    size = (1.3 + 1.5 * len(temperatures), 1.4 * len(examples) + 0.6)
    figure = Figure(figsize=size, layout='constrained')
    widths = [0.9, *(1.0 for _ in temperatures)]
    grid = figure.subplots(len(examples), len(widths), squeeze=False, width_ratios=widths)
    for row, example in zip(grid, examples, strict=True):
        _digit(row[0], example)
        for axes, probabilities in zip(row[1:], example['teacher'], strict=True):
            _distribution(axes, np.array(probabilities, float), example['label'], first=axes is row[1])
    for axes, temperature in zip(grid[0][1:], temperatures, strict=True):
        axes.set_title(f'T = {temperature:g}', fontsize=10.5)
    words = 'class (the label is orange); probability on a log scale'
    figure.supxlabel(words, fontsize=9.5, color=MUTED)
    return figure, ''


def _are_soft_targets(analysis: Any) -> bool:
    if misfit(analysis, SoftTargets):
        return False
    lengths = [{len(row) for row in example['image']} for example in analysis['examples']]
    return all(len(own) == 1 for own in lengths) and all(
        len(example['teacher']) == len(analysis['temperatures']) for example in analysis['examples']
    )


def _digit(axes: Axes, example: dict[str, Any]) -> None:
    axes.imshow(np.array(example['image'], float), cmap='gray_r', vmin=0, vmax=255)
    axes.set_axis_off()
    words = example.get('why') or f'a {example["label"]}'
    axes.set_title(textwrap.fill(words, 18), fontsize=8.5, color=INK)


def _distribution(axes: Axes, probabilities: np.ndarray, label: int, first: bool) -> None:
    classes = len(probabilities)
    colours = [PALETTE[1] if c == label else PALETTE[0] for c in range(classes)]
    axes.bar(range(classes), np.clip(np.nan_to_num(probabilities), FLOOR, None), width=0.78, color=colours)
    axes.set_yscale('log')
    axes.set_ylim(FLOOR, 1.6)
    axes.yaxis.set_major_locator(LogLocator(100, numticks=9))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(figure_style.power_of_ten)
    axes.tick_params(axis='both', length=0, labelsize=7.5, labelleft=first)
    axes.xaxis.set_major_locator(FixedLocator(range(classes)) if classes <= 10 else MaxNLocator(5, integer=True))
    axes.grid(visible=False, axis='x')
    axes.spines['left'].set_visible(False)
