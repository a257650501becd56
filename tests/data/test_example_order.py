"""The order of examples: epochs, batches, views and specialists."""

import itertools

import numpy as np
import pytest

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


def test_epoch_e_sees_view_e_modulo_views_or_a_view_of_its_own():
    # 12 examples in batches of 4 are three steps an epoch.
    for views, wanted in ((2, [0, 1, 0, 1]), (1, [0, 0, 0, 0]), (0, [0, 1, 2, 3])):
        order = ExampleOrder(splits(np.zeros(12)), batch_size=4, seed=0, views=views)
        np.testing.assert_array_equal(order.steps(0, 12)[1], np.repeat(wanted, 3))
