"""What every method of docs/methods.md costs a step, against plain KD; and a picture of accuracy against that cost.

  python -m benchmarks.methods --out=benchmarks/results/methods.json --results=experiments/results/benchmark_pairs

The runs are those of configs/benchmark_pairs.py, with live teachers, from random weights. Memory is what the compiled
program of some steps holds at most beside its arguments, as XLA counts it.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

from benchmarks import chunk, measure
from kd_jax import config_file
from kd_jax.report import results, style

CONFIG = 'configs/benchmark_pairs.py'
KD, STEPS, IMAGE, CLASSES = 'kd', 1, (14, 28), 100
NOT_METHODS = ('teacher', 'teachers', 'assistant', 'from_assistant', 'born_again_1', 'born_again_2')
ACCURACY = 'last.test.student.accuracy'


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--results', type=pathlib.Path, help='directory of the study; draws methods.png there')
    args = parser.parse_args()
    runs = {name: run for name, run in config_file.load(CONFIG)[0]['runs'].items() if name not in NOT_METHODS}
    sides, held = {}, {}
    for name, run in runs.items():
        arrays = chunk.random_data(IMAGE, CLASSES)
        positions = chunk.random_positions(STEPS, run['batch_size'])
        sides[name], held[name] = chunk.compiled_steps(run, arrays, positions, CLASSES, looped=False)
    seconds = measure.in_turn(sides, args.repeats)
    rows = []
    for name in runs:
        each = measure.median(seconds[name])
        rows.append({
            'method': name, 'ms a step': 1e3 * each / STEPS, 'time, KD = 1': each / measure.median(seconds[KD]),
            'MB': held[name] / 1e6, 'memory, KD = 1': held[name] / held[KD],
        })  # fmt: skip
    rows.sort(key=lambda row: row['time, KD = 1'])
    measure.show('Cost of a step of every method', rows, args.out, seconds=seconds)
    if args.results:
        draw(rows, args.results)


def draw(rows: Sequence[dict[str, Any]], directory: pathlib.Path) -> None:
    """Accuracy against cost, a dot a method, with the spread of the seeds."""
    _, found = results.load(directory)
    points = [(row, results.measure(found, row['method'], ACCURACY)) for row in rows]
    points = [(row, accuracy) for row, accuracy in points if accuracy]
    with matplotlib.rc_context(style.RC):
        figure, axes = style.canvas(height=6.0)
        for row, accuracy in points:
            special = row['method'] in (KD, 'baseline')
            colour = style.PALETTE[1] if special else style.PALETTE[0]
            axes.errorbar(row['time, KD = 1'], 100 * accuracy.mean, 100 * (accuracy.sd or 0), fmt='o', color=colour)
        kd = next(accuracy for row, accuracy in points if row['method'] == KD)
        axes.axhline(100 * kd.mean, color=style.MUTED, linewidth=0.8)
        label(axes, points)
        axes.set_xlabel('time of a step, KD = 1')
        axes.set_ylabel('accuracy on test pairs, %')
        axes.set_xscale('log')
        figure.savefig(directory / 'methods.png', dpi=style.DPI, metadata={'Software': None})


def label(axes: Any, points: Sequence[tuple[dict[str, Any], Any]]) -> None:
    """Names the best and the worst, the dearest, KD and the student alone; all names would hide the dots."""
    by_accuracy = sorted(points, key=lambda point: point[1].mean)
    by_cost = sorted(points, key=lambda point: point[0]['time, KD = 1'])
    chosen = {row['method']: (row, a) for row, a in by_accuracy[:2] + by_accuracy[-6:] + by_cost[-3:]}
    chosen |= {row['method']: (row, a) for row, a in points if row['method'] in (KD, 'baseline')}
    for row, accuracy in chosen.values():
        place = row['time, KD = 1'], 100 * accuracy.mean
        axes.annotate(
            row['method'].replace('_', ' '), place, (6, 3), textcoords='offset points', fontsize=8.5, color=style.INK
        )
    axes.set_xlim(np.min([row['time, KD = 1'] for row, _ in points]) * 0.9, None)


if __name__ == '__main__':
    main()
