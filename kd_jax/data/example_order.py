"""The order of examples: a pure function of (seed, step), so the step alone gives the position in the data."""

import numpy as np

from kd_jax.data.splits import Splits, example_count


class ExampleOrder:
    """The examples of every training step: each epoch has its own permutation, cut into whole batches.

    An epoch of a specialist holds each example of its subset once, and equally many other examples, drawn anew in each
    epoch (Hinton et al. 2015, section 5.2: half the examples from its special subset, half sampled at random from the
    rest).

    `views` is the number of views of each example. Epoch e uses view e modulo `views`, or view e if `views` is 0.
    """

    def __init__(self, splits: Splits, batch_size: int, seed: int, views: int = 0):
        arrays = splits.arrays['train']
        self.batch_size, self.seed, self.views = batch_size, seed, views
        self.inside, self.outside = np.arange(example_count(arrays)), np.arange(0)
        if splits.subset:
            self.inside = np.flatnonzero(arrays['label'] < len(splits.subset))
            self.outside = np.flatnonzero(arrays['label'] == len(splits.subset))
        self.newest: tuple[int, np.ndarray] = (-1, self.outside)
        self.steps_per_epoch = len(self.epoch(0)) // batch_size

    def epoch(self, epoch: int) -> np.ndarray:
        """Returns positions in the training split, in the order of this epoch."""
        number, order = self.newest  # A streamed run asks for one step at a time, so one epoch is kept.
        if number != epoch:
            rng = np.random.default_rng([self.seed, 0, epoch])
            others = rng.permutation(self.outside)[: len(self.inside)]
            order = rng.permutation(np.concatenate([self.inside, others]))
            self.newest = (epoch, order)
        return order

    def steps(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns positions [count, batch_size] and views [count] of `count` steps, starting at step `first`."""
        steps = np.arange(first, first + count)
        epochs = steps // self.steps_per_epoch
        orders = {epoch: self.epoch(int(epoch)) for epoch in np.unique(epochs)}
        starts = (steps % self.steps_per_epoch) * self.batch_size
        rows = [orders[e][s : s + self.batch_size] for e, s in zip(epochs, starts, strict=True)]
        views = epochs % self.views if self.views else epochs
        return np.stack(rows).astype(np.int32), views.astype(np.int32)
