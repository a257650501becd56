"""Compares training steps in a loop inside one program with steps that are separate calls.

  python -m benchmarks.loop --out=benchmarks/results/loop.json

On CPUs, XLA computes the gradients of convolutions several times slower inside a loop (jax issue 12868), unless they
have the layout that `kd_jax.devices.convolution_layout` gives them. Matrix products are not affected; the MNIST student
is the control.
"""

import unittest.mock
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

LOOP, AUTODIFF, ALONE = 'in a loop', 'in a loop with the layouts of autodiff', 'one by one'


def ways_of(config: str, run_name: str, image: tuple[int, ...], classes: int) -> dict[str, Callable[[], Any]]:
    """The same steps of a run, compiled in three ways."""
    run, arrays = load_config(config)[0]['runs'][run_name], chunk.random_data(image, classes)
    positions = chunk.random_positions(STEPS, run['batch_size'])
    with unittest.mock.patch('benchmarks.chunk.in_fast_layout', lambda program: program):
        autodiff = chunk.compiled_steps(run, arrays, positions, classes)
    alone = chunk.compiled_steps(run, arrays, positions[:1], classes, looped=False).repeated(STEPS)
    return {LOOP: chunk.compiled_steps(run, arrays, positions, classes).run, AUTODIFF: autodiff.run, ALONE: alone.run}


def main() -> None:
    args = measure.arguments(__doc__.splitlines()[0]).parse_args()
    sides = {f'{name}, {way}': run for name, of_config in SIDES.items() for way, run in ways_of(*of_config).items()}
    seconds = measure.in_turn(sides, args.repeats)
    rows = [
        {'steps': f'{name}, {way}', 'ms a step': 1e3 * measure.median(seconds[f'{name}, {way}']) / STEPS,
         'against one by one': measure.median(seconds[f'{name}, {way}']) / measure.median(seconds[f'{name}, {ALONE}'])}
        for name in SIDES
        for way in (LOOP, AUTODIFF, ALONE)
    ]  # fmt: skip
    measure.show(f'Steps in a loop and one by one ({jax.default_backend()})', rows, args.out, seconds=seconds)


if __name__ == '__main__':
    main()
