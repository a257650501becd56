"""Which examples a step sees: a pure function of (seed, step), so that the data's position is the step itself."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.data import augment
from kd_jax.data.sources import Arrays
from kd_jax.data.splits import Splits


class Order:
    """The examples of every training step: each epoch a permutation of its own, cut into whole batches.

    A specialist's epoch holds each example of its subset once and as many others, drawn anew each epoch (Hinton et al.
    2015, section 5.2: half the examples from its special subset, half sampled at random from the rest).
    """

    def __init__(self, splits: Splits, batch_size: int, seed: int):
        label = splits.arrays['train']['label']
        self.batch_size, self.seed = batch_size, seed
        self.inside = np.flatnonzero(label < len(splits.subset)) if splits.subset else np.arange(len(label))
        self.outside = np.flatnonzero(label == len(splits.subset)) if splits.subset else np.arange(0)
        self.steps_per_epoch = len(self.epoch(0)) // batch_size

    def epoch(self, epoch: int) -> np.ndarray:
        """Positions in the training split, in the order of this epoch."""
        rng = np.random.default_rng([self.seed, 0, epoch])
        others = rng.permutation(self.outside)[: len(self.inside)]
        return rng.permutation(np.concatenate([self.inside, others]))

    def steps(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions [count, batch_size] and epochs [count] of `count` steps from step `first` on."""
        steps = np.arange(first, first + count)
        epochs = steps // self.steps_per_epoch
        orders = {epoch: self.epoch(int(epoch)) for epoch in np.unique(epochs)}
        starts = (steps % self.steps_per_epoch) * self.batch_size
        rows = [orders[e][s : s + self.batch_size] for e, s in zip(epochs, starts, strict=True)]
        return np.stack(rows).astype(np.int32), epochs.astype(np.int32)


def fetch(arrays: Mapping[str, Any], positions: Any) -> dict[str, Any]:
    """The examples at `positions` of arrays that lead with the examples: NumPy's on the host, JAX's on the device."""
    return jax.tree.map(lambda array: array[positions], dict(arrays))


def view(
    batch: Mapping[str, jax.Array], key: jax.Array, epoch: jax.Array, options: Mapping[str, Any], num_classes: int
) -> dict[str, jax.Array]:
    """The batch as networks see it in training: images in [0, 1], augmented; see `augment.augmented`."""
    return augment.augmented(plain_view(batch), key, epoch, options, num_classes)


def plain_view(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The batch as networks see it in evaluation: 8-bit images as floats in [0, 1]."""
    image = batch['image']
    return {**batch, 'image': image / jnp.float32(255.0) if image.dtype == jnp.uint8 else image}


def padded(arrays: Arrays, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions [batch_size] and mask [batch_size] of the batches that cover a split; the last is filled and masked."""
    size = len(arrays['label'])
    for start in range(0, size, batch_size):
        positions = np.arange(start, start + batch_size)
        yield np.minimum(positions, size - 1).astype(np.int32), positions < size
