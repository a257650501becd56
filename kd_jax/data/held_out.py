"""Chooses the examples that are held out for validation or testing."""

import numpy as np

SEED = 0x5EED  # One seed for every run and every seed of a study, so that all of them hold out the same examples.


def draw_held_out(count: int, held: int, labels: np.ndarray | None = None) -> np.ndarray:
    """Draws `held` of `count` examples at random, always the same ones; stratified by class if there are labels.

    The number from each class is proportional to its size, rounded so that the numbers add up. Where possible, each
    class keeps at least one example for training.

    Args:
      count: number of examples.
      held: how many of them are held out, at most `count`.
      labels: classes, integers [count]; None if the examples have no classes.
    Returns:
      booleans, [count]; True for the examples that are held out.
    """
    rng = np.random.default_rng(SEED)
    order = rng.permutation(count)
    chosen = np.zeros(count, bool)
    if labels is None:
        chosen[order[:held]] = True
        return chosen
    classes, sizes = np.unique(labels, return_counts=True)
    for one, share in zip(classes, shares_of_classes(sizes, held), strict=True):
        chosen[order[labels[order] == one][:share]] = True
    return chosen


def shares_of_classes(sizes: np.ndarray, held: int) -> np.ndarray:
    """Returns how many examples of each class are held out, `held` in all, in proportion to the sizes [classes].

    The numbers are rounded down, and the rest goes to the largest remainders. A whole class is held out only if no
    other class has an example to spare.
    """
    exact = held * sizes / max(1, sizes.sum())
    shares = np.minimum(np.floor(exact).astype(int), sizes)
    for most in (np.maximum(sizes - 1, 0), sizes):
        while (left := held - shares.sum()) > 0 and (shares < most).any():
            order = np.argsort(shares - exact, kind='stable')
            shares[order[(shares < most)[order]][:left]] += 1
    return shares
