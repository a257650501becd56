"""Batches of a split, and the examples of a batch."""

import numpy as np

from kd_jax.data.batches import fetch_batch, padded_batches


def test_a_split_is_covered_with_its_last_batch_filled_and_masked():
    batches = list(padded_batches({'label': np.zeros(7)}, 3))
    assert [positions.tolist() for positions, _ in batches] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert [mask.tolist() for _, mask in batches] == [[True] * 3, [True] * 3, [True, False, False]]


def test_examples_are_fetched_from_every_array():
    arrays = {'image': np.arange(12).reshape(4, 3), 'label': np.arange(4)}
    batch = fetch_batch(arrays, np.array([3, 1]))
    np.testing.assert_array_equal(batch['image'], [[9, 10, 11], [3, 4, 5]])
    np.testing.assert_array_equal(batch['label'], [3, 1])
