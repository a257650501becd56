"""Which examples a step sees: a pure function of (seed, step), so that the data's position is the step itself."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.data import augment
from kd_jax.data.images import Images
from kd_jax.data.sources import Arrays
from kd_jax.data.splits import Splits, size

RECORDED = 'recorded'


class Order:
    """The examples of every training step: each epoch a permutation of its own, cut into whole batches.

    A specialist's epoch holds each example of its subset once and as many others, drawn anew each epoch (Hinton et al.
    2015, section 5.2: half the examples from its special subset, half sampled at random from the rest).

    `views`: how many views of each example there are; epoch e sees view e modulo `views`, or, if that is 0, view e.
    """

    def __init__(self, splits: Splits, batch_size: int, seed: int, views: int = 0):
        arrays = splits.arrays['train']
        self.batch_size, self.seed, self.views = batch_size, seed, views
        self.inside, self.outside = np.arange(size(arrays)), np.arange(0)
        if splits.subset:
            self.inside = np.flatnonzero(arrays['label'] < len(splits.subset))
            self.outside = np.flatnonzero(arrays['label'] == len(splits.subset))
        self.newest: tuple[int, np.ndarray] = (-1, self.outside)
        self.steps_per_epoch = len(self.epoch(0)) // batch_size

    def epoch(self, epoch: int) -> np.ndarray:
        """Positions in the training split, in the order of this epoch."""
        number, order = self.newest  # A stream asks for one step after the other.
        if number != epoch:
            rng = np.random.default_rng([self.seed, 0, epoch])
            others = rng.permutation(self.outside)[: len(self.inside)]
            order = rng.permutation(np.concatenate([self.inside, others]))
            self.newest = (epoch, order)
        return order

    def steps(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions [count, batch_size] and views [count] of `count` steps from step `first` on."""
        steps = np.arange(first, first + count)
        epochs = steps // self.steps_per_epoch
        orders = {epoch: self.epoch(int(epoch)) for epoch in np.unique(epochs)}
        starts = (steps % self.steps_per_epoch) * self.batch_size
        rows = [orders[e][s : s + self.batch_size] for e, s in zip(epochs, starts, strict=True)]
        views = epochs % self.views if self.views else epochs
        return np.stack(rows).astype(np.int32), views.astype(np.int32)


def fetch(arrays: Mapping[str, Any], positions: Any, views: Any = None) -> dict[str, Any]:
    """The examples at `positions` of arrays that lead with the examples: NumPy's on the host, JAX's on the device.

    Args:
      arrays: of a split. `Images` among them are read, with their labels. Arrays under 'recorded' lead with the views
        and then the examples (see `cache`).
      positions: [..., batch].
      views: the view that each batch gets where images are cropped as they are read, and of what is recorded, [...];
        None for evaluation.
    """
    kept = {name: array for name, array in arrays.items() if not isinstance(array, Images) and name != RECORDED}
    batch = jax.tree.map(lambda array: array[positions], kept)
    for images in arrays.values():
        if isinstance(images, Images):
            batch |= images.read(batch['id'], views)
    if RECORDED in arrays:
        seen = 0 if views is None else views[..., None]
        batch[RECORDED] = jax.tree.map(lambda array: array[seen, positions], arrays[RECORDED])
    return batch


def joined(splits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arrays of several splits as one split's: the examples of one after those of the one before."""

    def along(axis: int, *arrays: Any) -> np.ndarray:
        return np.concatenate(arrays, axis)

    plain = [{name: array for name, array in split.items() if name != RECORDED} for split in splits]
    whole = jax.tree.map(functools.partial(along, 0), *plain)
    if RECORDED in splits[0]:
        whole[RECORDED] = jax.tree.map(functools.partial(along, 1), *[split[RECORDED] for split in splits])
    return whole


def example_bytes(arrays: Mapping[str, Any]) -> int:
    """Bytes of one example."""
    return sum(array.nbytes for array in jax.tree.leaves(fetch(arrays, np.zeros(1, int))))


def shapes(arrays: Mapping[str, Any], batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a batch of examples."""
    one = fetch(arrays, np.zeros(1, int))
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((batch_size, *a.shape[1:]), a.dtype), one)


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
    count = size(arrays)
    for start in range(0, count, batch_size):
        positions = np.arange(start, start + batch_size)
        yield np.minimum(positions, count - 1).astype(np.int32), positions < count
