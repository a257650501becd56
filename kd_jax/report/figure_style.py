"""The look of figures: colours, sizes, axes and labels."""

import math
import re
import textwrap
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from kd_jax.config.ordinary_files import replacing
from kd_jax.config.visible_text import visible
from kd_jax.report import number_format

PALETTE = (
    '#0072B2',
    '#D55E00',
    '#009E73',
    '#AA3377',
    '#B8860B',
    '#56B4E9',
    '#555555',
)  # based on the colours of Okabe and Ito


INK, MUTED, GRID = '#1f2328', '#6b7280', '#e5e7eb'
LONGEST = 60  # characters of a text on one line
BESIDE = 26  # characters of a name on one line beside the axes
Drawn = tuple[Figure | None, str]  # the figure, and sentences that say what is missing from it
WIDTH, HEIGHT, DPI = 5.4, 3.6, 200  # inches; at the width of a phone, the font size below is still 10 pixels
MAPS = 'cividis'


RC: Any = {
    'text.parse_math': False,  # a name with dollar signs is a name
    'font.size': 10.5,
    'axes.labelsize': 10.5,
    'axes.edgecolor': MUTED,
    'axes.labelcolor': INK,
    'axes.linewidth': 0.8,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': GRID,
    'grid.linewidth': 0.8,
    'text.color': INK,
    'xtick.color': MUTED,
    'ytick.color': MUTED,
    'xtick.labelcolor': INK,
    'ytick.labelcolor': INK,
    'lines.linewidth': 1.8,
    'lines.markersize': 5,
    'errorbar.capsize': 2.5,
    'figure.facecolor': 'white',
    'savefig.facecolor': 'white',
}


def canvas(height: float = HEIGHT, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout='constrained')
    return figure, figure.subplots()


def power_of_ten(tick: float, _: Any = None) -> str:
    """The label of a tick at a power of ten: 0.01 -> '10⁻²'; '' for other ticks."""
    exponent = math.log10(tick) if tick > 0 else math.nan
    whole = round(exponent) if math.isfinite(exponent) else 0
    if not math.isclose(exponent, whole, abs_tol=1e-6):
        return ''
    return '10' + str(whole).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))


def file_stem(text: str) -> str:
    """A name for a figure that was not named by a report; it becomes a file name.

    A text with other characters than ASCII letters, digits, '_', '-' and '.' may read like another one without them, so
    a checksum tells them apart; '.' and '-' read alike.
    """
    if re.fullmatch(r'[\w.-]{1,120}', text, re.ASCII):
        return text.replace('.', '-')
    stem, check = re.sub(r'\W+', '-', text, flags=re.ASCII)[:100], zlib.crc32(text.encode('utf-8', 'surrogatepass'))
    return f'{stem}-{check:08x}'


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG; the same figure gives the same bytes.

    Control characters in names are drawn as escapes, long texts on several lines. A character that the font lacks is
    drawn as a box, without a warning.
    """
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        shown = visible(text.get_text())
        text.set_text(shown if len(shown) <= LONGEST else textwrap.fill(shown, LONGEST // 2))
    with warnings.catch_warnings(), replacing(path) as part:
        warnings.filterwarnings('ignore', r'Glyph .* missing from font', UserWarning)
        figure.draw_without_rendering()  # a layout moves texts at data; the next one has room for them
        figure.savefig(part, format='png', dpi=DPI, metadata={'Software': None})


def colours(count: int) -> list[str]:
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    return [to_hex(colour) for colour in matplotlib.colormaps[MAPS](np.linspace(0, 0.9, count))]


def value_axis(axes: Axes, which: str, unit: number_format.Unit, values: Sequence[float], log: bool = False) -> None:
    """Sets the scale and the tick labels of the axis ('x' or 'y') that shows `values`."""
    axis = axes.xaxis if which == 'x' else axes.yaxis
    low, high = min(values), max(values)
    if log:
        (axes.set_xscale if which == 'x' else axes.set_yscale)('log')
        ratio = high / low
        steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if ratio < 12 else (1.0, 2.0, 5.0) if ratio < 300 else (1.0,)
        axis.set_major_locator(LogLocator(10, steps, numticks=12) if ratio > 2 else MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(6, integer=unit == 'count' and high - low >= 3))
    scale = 100 if unit == 'fraction' else 1
    sign = '%' if unit == 'fraction' else ''
    axis.set_major_formatter(FuncFormatter(lambda tick, _: f'{scale * tick:,.6g}{sign}'.replace('-', '−')))


def ticks_at(axes: Axes, positions: Sequence[float], log: bool) -> None:
    """Puts the ticks of the x axis at the data if there are few points; skips ticks that would be too close.

    A tick that is no whole number is written with three digits, from 100 on without decimals.
    """
    axes.set_xscale('log' if log else 'linear')
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: _place(tick).replace('-', '−')))
    places = {math.log(x) if log else x: x for x in sorted(set(positions))}
    apart = 0.055 * (max(places) - min(places))
    kept: list[float] = []
    for place in places:
        if not kept or place - kept[-1] >= apart:
            kept.append(place)
    if len(places) <= 14:
        axes.xaxis.set_major_locator(FixedLocator([places[place] for place in kept]))


def _place(tick: float) -> str:
    return f'{tick:,.0f}' if tick == round(tick) or abs(tick) >= 100 else f'{tick:.3g}'


def label_ends(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Writes the names of lines at the right edge of the axes and moves them apart where they would overlap.

    Long names are written on several lines, because they take their room from the axes.

    Args:
      axes: the axes.
      labels: (y of the line's end in data units, name, colour).
    """
    axes.set_ylim(axes.get_ylim())  # fixes the limits, because the positions of the labels depend on them
    to_axes = axes.transData + axes.transAxes.inverted()
    wrapped = [(y, textwrap.fill(name, BESIDE), colour) for y, name, colour in labels]
    spots = sorted((float(to_axes.transform((1, y))[1]), name, colour) for y, name, colour in wrapped)
    gap = 0.062 * max((name.count('\n') + 1 for _, name, _ in wrapped), default=1)
    heights = spread([y for y, _, _ in spots], gap)
    for i, (y, (_, name, colour)) in enumerate(zip(heights, spots, strict=True)):
        axes.annotate(
            name,
            (1, max(y, i * gap)),  # not below the axes, where the ticks are
            xycoords='axes fraction',
            xytext=(5, 0),
            textcoords='offset points',
            va='center',
            color=colour,
            fontsize=9.5,
            annotation_clip=False,
        )


def label_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Writes the names of points at the right edge of the axes and joins each to its point by a thin line.

    Args:
      axes: the axes.
      points: (x, y, name), with x and y in data units.
    """
    axes.set_ylim(axes.get_ylim())
    axes.set_xlim(axes.get_xlim())
    to_axes = axes.transData + axes.transAxes.inverted()
    spots = sorted((float(to_axes.transform((x, y))[1]), x, y, name) for x, y, name in points)
    for height, (_, x, y, name) in zip(spread([spot[0] for spot in spots], gap=0.05), spots, strict=True):
        axes.annotate(
            name,
            (x, y),
            xycoords='data',
            xytext=(1.02, height),
            textcoords='axes fraction',
            va='center',
            color=INK,
            fontsize=9.5,
            annotation_clip=False,
            arrowprops={'arrowstyle': '-', 'color': MUTED, 'linewidth': 0.5, 'shrinkA': 1, 'shrinkB': 3},
        )


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Moves ascending positions at least `gap` apart; the centre of a cluster stays where it was."""
    clusters: list[tuple[float, int]] = []  # (centre, number of positions)
    for position in positions:
        centre, count = float(position), 1
        while clusters and centre - clusters[-1][0] < gap * (count + clusters[-1][1]) / 2:
            before, n = clusters.pop()
            centre, count = (centre * count + before * n) / (count + n), count + n
        clusters.append((centre, count))
    return [centre + gap * (i - (count - 1) / 2) for centre, count in clusters for i in range(count)]
