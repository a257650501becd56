"""Fetches batches by position and prepares them for training and evaluation."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.data import augment
from kd_jax.data.source import Arrays, ReadFromFiles
from kd_jax.data.splits import example_count


def fetch_batch(arrays: Mapping[str, Any], positions: Any, views: Any = None) -> dict[str, Any]:
    """Returns the examples at `positions` of a split: NumPy arrays on the host, JAX arrays on the device.

    Args:
      arrays: arrays of a split, [examples, ...]. Those among them that are `ReadFromFiles` are read.
        Arrays under 'recorded' are [views, examples, ...] (see `teacher_cache.replay`).
      positions: [..., batch].
      views: number of the view for each batch, [...]. It selects the random crop of images that are read from files,
        and the view of recorded outputs. None for evaluation.
    """
    kept = {name: array for name, array in arrays.items() if not isinstance(array, ReadFromFiles) and name != RECORDED}
    batch = jax.tree.map(lambda array: array[positions], kept)
    for array in arrays.values():
        if isinstance(array, ReadFromFiles):
            batch = array.read(batch['id'], views) | batch  # labels in memory may have been changed by the splits
    if RECORDED in arrays:
        seen = 0 if views is None else views[..., None]
        batch[RECORDED] = jax.tree.map(lambda array: array[seen, positions], arrays[RECORDED])
    return batch


def concatenate_splits(splits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Joins the arrays of several splits along the axis of examples, in the order of the splits."""

    def along(axis: int, *arrays: Any) -> np.ndarray:
        return np.concatenate(arrays, axis)

    plain = [{name: array for name, array in split.items() if name != RECORDED} for split in splits]
    whole = jax.tree.map(functools.partial(along, 0), *plain)
    if RECORDED in splits[0]:
        whole[RECORDED] = jax.tree.map(functools.partial(along, 1), *[split[RECORDED] for split in splits])
    return whole


def example_bytes(arrays: Mapping[str, Any]) -> int:
    """Returns the size of one example in bytes."""
    return sum(array.nbytes for array in jax.tree.leaves(fetch_batch(arrays, np.zeros(1, int))))


def batch_shapes(arrays: Mapping[str, Any], batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shape and dtype of each array in a batch of `batch_size` examples, as JAX reads it: int64 is int32."""
    one = fetch_batch(arrays, np.zeros(1, int))
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((batch_size, *a.shape[1:]), jax.dtypes.canonicalize_dtype(a.dtype)), one
    )


def training_view(
    batch: Mapping[str, jax.Array], key: jax.Array, epoch: jax.Array, options: Mapping[str, Any],
    num_classes: int | None,
) -> dict[str, jax.Array]:  # fmt: skip
    """Returns the batch as networks see it in training: images in [0, 1], then augmented by `augment.augmented`."""
    return augment.augmented(evaluation_view(batch), key, epoch, options, num_classes)


def evaluation_view(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the batch as networks see it in evaluation: 8-bit `image` becomes floats in [0, 1], all else is kept."""
    if 'image' not in batch or batch['image'].dtype != jnp.uint8:
        return dict(batch)
    return {**batch, 'image': batch['image'] / jnp.float32(255.0)}


def padded_batches(arrays: Arrays, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields positions and mask, each [batch_size], of the batches that cover a split; the last one is padded."""
    count = example_count(arrays)
    for start in range(0, count, batch_size):
        positions = np.arange(start, start + batch_size)
        yield np.minimum(positions, count - 1).astype(np.int32), positions < count
