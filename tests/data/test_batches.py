"""Batches of a split, and the examples of a batch."""

import numpy as np

from kd_jax.data.batches import batch_shapes, fetch_batch, padded_batches


def test_a_split_is_covered_with_its_last_batch_filled_and_masked():
    batches = list(padded_batches({'label': np.zeros(7)}, 3))
    assert [positions.tolist() for positions, _ in batches] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert [mask.tolist() for _, mask in batches] == [[True] * 3, [True] * 3, [True, False, False]]


def test_examples_are_fetched_from_every_array():
    arrays = {'image': np.arange(12).reshape(4, 3), 'label': np.arange(4)}
    batch = fetch_batch(arrays, np.array([3, 1]))
    np.testing.assert_array_equal(batch['image'], [[9, 10, 11], [3, 4, 5]])
    np.testing.assert_array_equal(batch['label'], [3, 1])


def test_shapes_of_a_batch_have_the_types_that_programs_compute_with():
    arrays = {'image': np.zeros((7, 3), np.uint8), 'target': np.zeros((7, 2)), 'label': np.zeros(7, np.int64)}
    shapes = batch_shapes(arrays, 4)
    assert {name: (a.shape, a.dtype.name) for name, a in shapes.items()} == {
        'image': ((4, 3), 'uint8'),
        'target': ((4, 2), 'float32'),
        'label': ((4,), 'int32'),
    }
