"""Draws the accuracy of each method after 900 and after 10,000 steps, for docs/which_method.md."""

import pathlib
from collections.abc import Mapping

from matplotlib.axes import Axes

from configs import benchmark_pairs
from configs import benchmark_pairs_long as stages
from experiments.size_panels import size_panels
from kd_jax.report import figure_style
from kd_jax.report.result_files import Results, measure_over_seeds

NAMED = ('KD', 'labels alone')  # and the best at either length, and the last
GROUPS = (*benchmark_pairs.KNOWLEDGE, benchmark_pairs.OTHERS)
BEST = 3
OF_TEACHER = stages.TEST.replace('student', 'teacher')


def draw_lengths(short: Mapping[int, Results], long: Mapping[int, Results], path: pathlib.Path) -> None:
    """Draws one panel for each number of training images for which both have methods, a point for each method.

    Args:
      short: the results after 900 steps, by the number of training images.
      long: those after 10,000 steps.
      path: the PNG file.
    """
    sizes = [size for size in sorted(short) if _accuracies(short[size]).keys() & _accuracies(long.get(size, {}))]
    if not sizes:
        return
    with size_panels(sizes, 0.95 * figure_style.WIDTH, 1.1 * figure_style.HEIGHT, path) as panels:
        for axes, size in zip(panels, sizes, strict=True):
            if teacher := measure_over_seeds(long[size], 'teacher', OF_TEACHER):
                axes.axhline(teacher.mean, color=figure_style.MUTED, linewidth=0.8, linestyle='--')
            _panel(axes, _accuracies(short[size]), _accuracies(long[size]))


def _accuracies(results: Results) -> dict[str, float]:
    """The mean test accuracy of each method, by its label."""
    labels = benchmark_pairs.labels()
    found = {label: measure_over_seeds(results, run, stages.TEST) for run, label in labels.items()}
    return {label: measure.mean for label, measure in found.items() if measure}


def _panel(axes: Axes, before: Mapping[str, float], after: Mapping[str, float]) -> None:
    both = [label for label in before if label in after]
    for name, colour in zip(GROUPS, figure_style.colours(len(GROUPS)), strict=True):
        own = [label for label in both if benchmark_pairs.group(label) == name]
        axes.plot([before[n] for n in own], [after[n] for n in own], 'o', color=colour, alpha=0.85, label=name)
    figure_style.value_axis(axes, 'x', 'fraction', [before[label] for label in both])
    figure_style.value_axis(axes, 'y', 'fraction', [after[label] for label in both])
    best = [label for length in (before, after) for label in sorted(both, key=lambda n: -length[n])[:BEST]]
    last = min(both, key=lambda label: after[label])
    named = [label for label in dict.fromkeys([*NAMED, *best, last]) if label in both]
    figure_style.label_points(axes, [(before[label], after[label], label) for label in named])
    axes.set_xlabel('accuracy after 900 steps')
    axes.set_ylabel('accuracy after 10,000 steps')
