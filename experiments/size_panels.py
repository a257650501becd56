"""A figure with one panel for each number of training images, for docs/which_method.md."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd_jax.report import figure_style


@contextlib.contextmanager
def size_panels(sizes: Sequence[int], width: float, height: float, path: pathlib.Path) -> Iterator[Sequence[Axes]]:
    """Gives the axes of each size, to be drawn on; then adds the legend of the first above all, and writes the PNG.

    Args:
      sizes: the numbers of images.
      width, height: of a panel, in inches.
      path: the PNG file.
    """
    with matplotlib.rc_context(figure_style.RC):
        figure = Figure(figsize=(width * len(sizes), height), layout='constrained')
        panels = figure.subplots(1, len(sizes), squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            axes.set_title(f'{size:,} images', fontsize=10.5, loc='left')
        yield panels
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside upper left', ncols=len(labels), frameon=False, fontsize=9)
        figure_style.save(figure, path)
