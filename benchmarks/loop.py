"""Compares training steps in a loop inside one program with steps that are separate calls.

  python -m benchmarks.loop --out=benchmarks/results/loop.json

On CPUs, XLA computes the gradients of convolutions several times slower inside a loop (jax issue 12868). Training
therefore avoids the loop for convolutions on CPUs (`PreparedRun.convolves_on_cpu`). Matrix products are not affected;
the MNIST student is the control.
"""

from collections.abc import Callable
from typing import Any

import jax

from benchmarks import chunk, measure
from kd_jax.config.config_file import load_config

STEPS = 5
SIDES = {
    'pairs, CNN': ('configs/benchmark_pairs.py', 'baseline', (14, 28), 100),
    'MNIST, 800-800': ('configs/hinton_mnist.py:paper', 'baseline', (28, 28), 10),
}


def main() -> None:
    args = measure.arguments(__doc__.splitlines()[0]).parse_args()
    sides: dict[str, Callable[[], Any]] = {}
    for name, (config, run_name, image, classes) in SIDES.items():
        run, arrays = load_config(config)[0]['runs'][run_name], chunk.random_data(image, classes)
        positions = chunk.random_positions(STEPS, run['batch_size'])
        sides[f'{name}, in a loop'] = chunk.compiled_steps(run, arrays, positions, classes).run
        alone = chunk.compiled_steps(run, arrays, positions[:1], classes, looped=False)
        sides[f'{name}, one by one'] = alone.repeated(STEPS).run
    seconds = measure.in_turn(sides, args.repeats)
    rows = [{'steps': name, 'ms a step': 1e3 * measure.median(seconds[name]) / STEPS} for name in sides]
    for row in rows:
        without = row['steps'].rpartition(',')[0] + ', one by one'
        row['against one by one'] = measure.median(seconds[row['steps']]) / measure.median(seconds[without])
    measure.show(f'Steps in a loop and one by one ({jax.default_backend()})', rows, args.out, seconds=seconds)


if __name__ == '__main__':
    main()
