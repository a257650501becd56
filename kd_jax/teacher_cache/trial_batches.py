"""Tries whether outputs are functions of the examples, before they are recorded for all of them."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from kd_jax.config.errors import UserError

ROUNDING = 10.0  # how much more than a repetition another random key must change outputs, to count as noise
log = logging.getLogger(__name__)


def try_batches(batch_size: int, run: Callable[[np.ndarray, int], Mapping[str, Any]], where: str) -> float:
    """Runs the first batch a few times, and returns the seconds that it takes.

    A warning says so if outputs change with the place of an example in the batch.

    Args:
      batch_size: examples in a batch.
      run: (positions of examples, number of a random key) -> outputs by path, [batch, ...].
      where: place in the config, for messages.
    Raises:
      UserError: outputs change with the random key.
    """
    positions = np.arange(batch_size, dtype=np.int32)
    first = jax.device_get(run(positions, 0))
    started = time.monotonic()
    other = jax.device_get(run(positions, 1))
    seconds = time.monotonic() - started
    if noisy := [path for path in first if _change(first[path], other[path])]:
        # Some devices add numbers in another order each time, which is no noise.
        again = jax.device_get(run(positions, 0))
        noisy = [p for p in noisy if _change(first[p], other[p]) > ROUNDING * _change(first[p], again[p])]
    if noisy:
        raise UserError(
            f"{where}, cache: '{noisy[0]}' changes with the random key, which is another one in each step, because a "
            'frozen network draws noise; a record would repeat the noise of its first batch, so leave cache out.'
        )
    reverse = jax.device_get(run(positions[::-1], 0))
    if apart := max(_change(first[path], reverse[path][::-1]) for path in first):
        log.warning(
            '%s: on this device, outputs of frozen networks change with the place of an example in its batch, by up to '
            '%.2g; training from the cache equals training with the live networks up to that, not bit for bit.',
            where, apart,
        )  # fmt: skip
    return seconds


def _change(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of two arrays where it is finite."""
    apart = one.astype(np.float64) - other.astype(np.float64)
    return float(np.max(np.abs(apart), initial=0.0, where=np.isfinite(apart)))
