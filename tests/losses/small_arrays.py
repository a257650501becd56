"""Small arrays for tests of losses."""

import numpy as np


def random(*shape, seed=0):
    """Features drawn from the standard normal distribution."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_logits(*shape, seed=0):
    """Logits with standard deviation 3."""
    return 3.0 * random(*shape, seed=seed)


def log(*probabilities):
    """Logits whose softmax at temperature 1 is proportional to `probabilities`."""
    return np.log(np.array(probabilities, np.float32))


def maps(*rows):
    """One example with one row of positions; each argument holds the channels of one position."""
    return np.array(rows, np.float32)[None, None]
