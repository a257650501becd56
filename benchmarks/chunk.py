"""Builds functions that run training steps exactly as training does, without the training loop."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.matrix_flops import matrix_flops
from kd_jax.arrays.batch_names import RECORDED
from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from kd_jax.data.batches import evaluation_view, fetch_batch, training_view
from kd_jax.devices.compiler_options import compiler_options
from kd_jax.devices.convolution_layout import in_fast_layout
from kd_jax.devices.matmul_precision import in_bfloat16
from kd_jax.prepare.parse_recipe import parse_recipe

EXAMPLES = 2000


class CompiledSteps(NamedTuple):
    """A function that runs training steps and waits for them, and what the program costs.

    Attributes:
      run: the function.
      memory: peak memory of the program in bytes, without its arguments.
      flops: operations of the matrix products and convolutions of all the steps.
    """

    run: Callable[[], Any]
    memory: int
    flops: float

    def repeated(self, times: int) -> 'CompiledSteps':
        """The same program, called several times by `run`."""
        return CompiledSteps(lambda: [self.run() for _ in range(times)], self.memory, self.flops * times)


def random_data(image: tuple[int, ...], num_classes: int) -> dict[str, np.ndarray]:
    """Random images and labels; the time of a step does not depend on their values."""
    rng = np.random.default_rng(0)
    return {
        'id': np.arange(EXAMPLES, dtype=np.int32),
        'image': rng.integers(0, 256, (EXAMPLES, *image), dtype=np.uint8),
        'label': rng.integers(num_classes, size=EXAMPLES, dtype=np.int32),
    }


def random_positions(steps: int, batch_size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(EXAMPLES, size=(steps, batch_size))


def compiled_steps(
    config: Mapping[str, Any],
    arrays: Mapping[str, Any],
    positions: np.ndarray,
    num_classes: int,
    looped: bool = True,
    matmul_precision: str = 'default',
) -> CompiledSteps:
    """Compiles len(positions) training steps of a run's config as one program, from random weights.

    Args:
      config: networks, terms and optimizer of a run.
      arrays: images and labels, [examples, ...]; optionally under 'recorded' the outputs of frozen networks,
        [1, examples, ...].
      positions: positions of the examples in the data, [steps, batch_size].
      num_classes: number of classes of the data.
      looped: if true the program loops over the steps (`lax.scan`); otherwise it is unrolled.
      matmul_precision: as the option of a run; that of the config is not read.
    """
    built = parse_recipe(config, 'benchmark')
    augmentation = config.get('data', {}).get('augment', {})
    batch = evaluation_view(fetch_batch({k: v for k, v in arrays.items() if k != RECORDED}, positions[0]))
    state, frozen = init_state(built, batch, seed=0)
    train_step = make_train_step(built, total_steps=10**6)
    resident = jax.device_put(dict(arrays))
    context = check_recipe(built, jax.eval_shape(lambda: batch))
    convolves = any(network.convolves(network_shapes(network, context)[0]) for network in built.networks)
    options = compiler_options(jax.default_backend(), convolves, built.loops_over_layers, matmul_precision)

    def chunk(state, frozen, resident, positions):
        def body(state, rows):
            seen = training_view(fetch_batch(resident, rows), state.key, jax.numpy.int32(0), augmentation, num_classes)
            return train_step(state, built.hparams, frozen, seen)

        if looped:
            return jax.lax.scan(body, state, positions)
        for rows in positions:
            state, measured = body(state, rows)
        return state, measured

    program = in_bfloat16(chunk, jax.default_backend()) if matmul_precision == 'bfloat16' else chunk
    program = in_fast_layout(program) if convolves and jax.default_backend() == 'cpu' else program
    traced = jax.jit(program, compiler_options=options).trace(state, frozen, resident, positions)
    compiled = traced.lower().compile()
    run = functools.partial(compiled, state, frozen, resident, positions)
    memory = compiled.memory_analysis().temp_size_in_bytes
    return CompiledSteps(lambda: jax.block_until_ready(run()), memory, matrix_flops(traced.jaxpr))
