"""Compares training steps with matrix products of float32 and of inputs rounded to bfloat16, added up in float32.

  python -m benchmarks.matmul_precision --out=benchmarks/results/matmul_precision.json

It pays on processors with matrix units for bfloat16 (AMX on Intel's); elsewhere the ratio is near 1. The runs are those
of the MNIST study and the decoders of benchmarks/language.py.
"""

from collections.abc import Callable
from typing import Any

import jax

from benchmarks import chunk, language, measure
from kd_jax.config.config_file import load_config
from kd_jax.devices.matmul_precision import MATMUL_PRECISIONS

STEPS = 20
RUNS = {'MNIST, 1200-1200': 'teacher', 'MNIST, 800-800': 'baseline'}


def mnist(run_name: str, precision: str) -> Callable[[], Any]:
    run, arrays = load_config('configs/hinton_mnist.py:paper')[0]['runs'][run_name], chunk.random_data((28, 28), 10)
    positions = chunk.random_positions(STEPS, run['batch_size'])
    return chunk.compiled_steps(run, arrays, positions, 10, matmul_precision=precision).run


def main() -> None:
    args = measure.arguments(__doc__.splitlines()[0]).parse_args()
    sides = {(name, p): mnist(run, p) for name, run in RUNS.items() for p in MATMUL_PRECISIONS}
    for size, options in language.DECODERS.items():
        sides |= {(f'decoder, {size} M', p): language.training_step(options, p).run for p in MATMUL_PRECISIONS}
    seconds = measure.in_turn({' '.join(key): run for key, run in sides.items()}, args.repeats)
    rows = []
    for name in dict.fromkeys(name for name, _ in sides):
        default, low = (measure.median(seconds[f'{name} {p}']) for p in MATMUL_PRECISIONS)
        steps = STEPS if name in RUNS else 1
        rows.append({'training step': name, 'default, ms': 1e3 * default / steps, 'bfloat16, ms': 1e3 * low / steps,
                     'times as fast': default / low})  # fmt: skip
    title = f'Steps with products of float32 and of bfloat16 ({jax.default_backend()})'
    measure.show(title, rows, args.out, seconds=seconds)


if __name__ == '__main__':
    main()
