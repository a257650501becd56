"""Losses between unlike vocabularies: numbers by hand, and what they do not see."""

import numpy as np

from kd_jax.losses import sorted_distance
from tests.losses.small_arrays import log, random_logits


def test_sorted_probabilities_are_compared_and_the_smaller_vocabulary_is_filled_up():
    # (5, 3, 2) / 10 against (3, 1) / 4 sorted: |0.5 - 0.75| + |0.3 - 0.25| + |0.2 - 0| = 0.5.
    np.testing.assert_allclose(sorted_distance(log(2.0, 5.0, 3.0), log(1.0, 3.0)), 0.5, rtol=1e-5)
    np.testing.assert_allclose(sorted_distance(log(1.0, 3.0), log(2.0, 5.0, 3.0)), 0.5, rtol=1e-5)


def test_it_does_not_see_which_token_is_meant():
    student, teacher = random_logits(4, 5), random_logits(4, 7, seed=1)
    mixed = teacher[:, np.random.default_rng(2).permutation(7)]
    np.testing.assert_allclose(sorted_distance(student, mixed), sorted_distance(student, teacher), rtol=1e-5)


def test_the_farthest_distributions_are_a_certain_one_and_a_spread_one():
    certain, spread = np.array([100.0, 0.0], np.float32), np.zeros(1000, np.float32)
    np.testing.assert_allclose(sorted_distance(certain, spread), 2 * (1 - 1 / 1000), rtol=1e-5)
