import itertools

import numpy as np
import pytest

from kd_jax.data.batches import fetch_batch, padded_batches
from kd_jax.data.example_order import ExampleOrder
from kd_jax.data.splits import Splits


def splits(labels, subset=()):
    return Splits({'train': {'label': np.array(labels)}}, 10, subset)


def test_every_epoch_is_a_permutation_of_its_own():
    order = ExampleOrder(splits(np.zeros(23)), batch_size=5, seed=0)
    epochs = [order.epoch(epoch) for epoch in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(23))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], ExampleOrder(splits(np.zeros(23)), 5, seed=1).epoch(0))
    np.testing.assert_array_equal(epochs[1], ExampleOrder(splits(np.zeros(23)), 7, seed=0).epoch(1))


def test_whole_batches_alone_are_taken_from_an_epoch():
    order = ExampleOrder(splits(np.zeros(23)), batch_size=5, seed=0)
    assert order.steps_per_epoch == 4
    positions, epochs = order.steps(0, 8)
    np.testing.assert_array_equal(epochs, [0] * 4 + [1] * 4)
    for epoch in (0, 1):
        np.testing.assert_array_equal(positions[epochs == epoch].ravel(), order.epoch(epoch)[:20])


@pytest.mark.parametrize('cuts', [(0, 1, 11), (0, 4, 8, 11), (0, 3, 5, 9, 11)])
def test_steps_are_the_same_however_they_are_cut(cuts):
    order = ExampleOrder(splits(np.zeros(23)), batch_size=5, seed=3)
    whole = order.steps(0, 11)
    parts = [order.steps(first, last - first) for first, last in itertools.pairwise(cuts)]
    for i in (0, 1):
        np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), whole[i])


def test_a_specialist_sees_its_subset_once_and_as_many_others_each_epoch():
    labels = np.array([0] * 10 + [1] * 10 + [2] * 180)
    order = ExampleOrder(splits(labels, subset=(5, 7)), batch_size=10, seed=0)
    others = []
    for epoch in (order.epoch(0), order.epoch(1)):
        np.testing.assert_array_equal(np.sort(epoch[labels[epoch] < 2]), np.arange(20))
        outside = epoch[labels[epoch] == 2]
        assert len(outside) == len(set(outside)) == 20
        others.append(set(outside))
    assert others[0] != others[1]
    # The two halves are shuffled together, not one after the other.
    assert 4 <= np.sum(labels[order.epoch(0)[:20]] == 2) <= 16


def test_a_split_is_covered_with_its_last_batch_filled_and_masked():
    batches = list(padded_batches({'label': np.zeros(7)}, 3))
    assert [positions.tolist() for positions, _ in batches] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert [mask.tolist() for _, mask in batches] == [[True] * 3, [True] * 3, [True, False, False]]


def test_examples_are_fetched_from_every_array():
    arrays = {'image': np.arange(12).reshape(4, 3), 'label': np.arange(4)}
    batch = fetch_batch(arrays, np.array([3, 1]))
    np.testing.assert_array_equal(batch['image'], [[9, 10, 11], [3, 4, 5]])
    np.testing.assert_array_equal(batch['label'], [3, 1])
