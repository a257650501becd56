"""Compares training steps of the MNIST study with the rate at which this machine multiplies matrices.

  python -m benchmarks.step_time --out=benchmarks/results/step_time.json

The rate is the best over several sizes of square float32 matrices. The work of a step counts its matrix products only:
2 * batch * inputs * outputs for a layer's forward pass, the same for the gradient of its weights and, except in the
first layer, the same for the gradient of its inputs. Optimizer, dropout, random crop, losses and gathering the batch
take time but count as no work.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import chunk, measure
from kd_jax.arrays.batch_names import RECORDED
from kd_jax.config.config_file import load_config

CONFIG = 'configs/hinton_mnist.py:paper'
RUNS = {'teacher': False, 'baseline': False, 'distilled': True}  # name: whether its teacher is cached
STEPS = 50
SIZES = (1024, 2048)
CLASSES = 10


def products(size: int) -> Callable[[], Any]:
    """Eight dependent products of matrices [size, size]."""
    matrix = jnp.ones((size, size))
    run = jax.jit(lambda a: jax.lax.fori_loop(0, 8, lambda _, b: a @ b / size, a))
    return lambda: jax.block_until_ready(run(matrix))


def product_sides() -> dict[str, Callable[[], Any]]:
    """Matrix products of several sizes, to be measured in turn with other sides."""
    return {f'product {size}': products(size) for size in SIZES}


def product_rate(seconds: Mapping[str, Sequence[float]]) -> float:
    """The rate of the best of the `product_sides`, by their seconds, in operations per second."""
    return max(8 * 2 * size**3 / measure.median(seconds[f'product {size}']) for size in SIZES)


def side(run: Mapping[str, Any], cached: bool) -> chunk.CompiledSteps:
    arrays: dict[str, Any] = chunk.random_data((28, 28), CLASSES)
    if cached:
        arrays[RECORDED] = {'teacher': {'logits': np.zeros((1, chunk.EXAMPLES, CLASSES), np.float32)}}
    positions = chunk.random_positions(STEPS, run['batch_size'])
    return chunk.compiled_steps(run, arrays, positions, CLASSES)


def main() -> None:
    args = measure.arguments(__doc__.splitlines()[0]).parse_args()
    runs = load_config(CONFIG)[0]['runs']
    steps = {name: side(runs[name], cached) for name, cached in RUNS.items()}
    seconds = measure.in_turn({name: own.run for name, own in steps.items()} | product_sides(), args.repeats)
    rate = product_rate(seconds)
    rows = []
    for name in RUNS:
        work, each = steps[name].flops / STEPS, measure.median(seconds[name]) / STEPS
        rows.append({'run': name, 'ms a step': 1e3 * each, 'GFLOP/s': work / each / 1e9, 'share': work / each / rate})
    rows.append({'run': 'matrix product', 'ms a step': float('nan'), 'GFLOP/s': rate / 1e9, 'share': 1.0})
    measure.show('Training steps of the MNIST study compared with matrix products', rows, args.out, seconds=seconds)


if __name__ == '__main__':
    main()
