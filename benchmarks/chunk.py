"""Builds functions that run training steps exactly as training does, without the training loop."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from kd_jax.data.batches import evaluation_view, fetch_batch, training_view
from kd_jax.prepare.parse_recipe import parse_recipe

EXAMPLES = 2000


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


def steps_of(
    config: Mapping[str, Any], arrays: Mapping[str, Any], positions: np.ndarray, num_classes: int, looped: bool = True
) -> Callable[[], Any]:
    """A function that trains len(positions) steps of a run's config as one program, from random weights.

    Args:
      config: networks, terms and optimizer of a run.
      arrays: images and labels, [examples, ...]; optionally under 'recorded' the outputs of frozen networks,
        [1, examples, ...].
      positions: positions of the examples in the data, [steps, batch_size].
      num_classes: number of classes of the data.
      looped: if true the program loops over the steps (`lax.scan`); otherwise it is unrolled.
    """
    return compiled_steps(config, arrays, positions, num_classes, looped)[0]


def one_by_one(
    config: Mapping[str, Any], arrays: Mapping[str, Any], positions: np.ndarray, num_classes: int
) -> Callable[[], Any]:
    """Like `steps_of`, but each step is a separate call, as when training runs convolutions on CPUs."""
    step = steps_of(config, arrays, positions[:1], num_classes, looped=False)
    return lambda: [step() for _ in positions]


def compiled_steps(
    config: Mapping[str, Any], arrays: Mapping[str, Any], positions: np.ndarray, num_classes: int, looped: bool = True
) -> tuple[Callable[[], Any], int]:
    """Like `steps_of`; also returns the peak memory of the program in bytes, without its arguments."""
    built = parse_recipe(config, 'benchmark')
    augmentation = config.get('data', {}).get('augment', {})
    batch = evaluation_view(fetch_batch({k: v for k, v in arrays.items() if k != RECORDED}, positions[0]))
    state, frozen = init_state(built, batch, seed=0)
    train_step = make_train_step(built, total_steps=10**6)
    resident = jax.device_put(dict(arrays))

    @jax.jit
    def chunk(state, frozen, resident, positions):
        def body(state, rows):
            seen = training_view(fetch_batch(resident, rows), state.key, 0, augmentation, num_classes)
            return train_step(state, built.hparams, frozen, seen)

        if looped:
            return jax.lax.scan(body, state, positions)
        for rows in positions:
            state, measured = body(state, rows)
        return state, measured

    compiled = chunk.lower(state, frozen, resident, positions).compile()
    run = functools.partial(compiled, state, frozen, resident, positions)
    return lambda: jax.block_until_ready(run()), compiled.memory_analysis().temp_size_in_bytes
