"""Measures time and memory of a training step of every method of docs/methods.md, relative to plain KD.

  python -m benchmarks.methods --out=benchmarks/results/methods.json

The runs are those of configs/benchmark_pairs.py, with live teachers and random weights. Each step is a separate call,
as when training runs convolutions on CPUs. Memory is the program's peak, without its arguments, as reported by XLA.
"""

from benchmarks import chunk, measure
from kd_jax.config.config_file import load_config

CONFIG = 'configs/benchmark_pairs.py'
KD, IMAGE, CLASSES = 'kd', (14, 28), 100
NOT_METHODS = ('teacher', 'teachers', 'assistant', 'from_assistant', 'born_again_1', 'born_again_2')


def main() -> None:
    args = measure.arguments(__doc__.splitlines()[0]).parse_args()
    runs = {name: run for name, run in load_config(CONFIG)[0]['runs'].items() if name not in NOT_METHODS}
    sides, held = {}, {}
    for name, run in runs.items():
        arrays, positions = chunk.random_data(IMAGE, CLASSES), chunk.random_positions(1, run['batch_size'])
        sides[name], held[name], _ = chunk.compiled_steps(run, arrays, positions, CLASSES, looped=False)
    seconds = measure.in_turn(sides, args.repeats)
    rows = []
    for name in runs:
        each = measure.median(seconds[name])
        rows.append({
            'method': name, 'ms a step': 1e3 * each, 'time, KD = 1': each / measure.median(seconds[KD]),
            'MB': held[name] / 1e6, 'memory, KD = 1': held[name] / held[KD],
        })  # fmt: skip
    rows.sort(key=lambda row: row['time, KD = 1'])
    measure.show('Cost of a training step of every method', rows, args.out, seconds=seconds)


if __name__ == '__main__':
    main()
