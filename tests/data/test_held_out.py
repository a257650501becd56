import numpy as np
import pytest

from kd_jax.data.held_out import draw_held_out, shares_of_classes


@pytest.mark.parametrize(
    ('sizes', 'held', 'shares'),
    [
        ((40, 20, 20, 20), 30, (12, 6, 6, 6)),
        ((50, 30, 20), 5, (3, 1, 1)),  # exactly 2.5, 1.5 and 1: the first of equal remainders gets what is left
        ((97, 1, 2), 10, (10, 0, 0)),  # exactly 9.7, 0.1 and 0.2
        ((3, 3, 3, 1), 9, (3, 3, 2, 1)),  # too many to leave one of each class; exactly 2.7 and 0.9
        ((1, 1, 2), 1, (0, 0, 1)),  # classes of one example stay in training
    ],
)
def test_each_class_gives_its_share(sizes, held, shares):
    found = shares_of_classes(np.array(sizes), held)
    assert found.sum() == held
    np.testing.assert_array_equal(found, shares)


def test_a_draw_is_always_the_same_and_spread_over_all_positions():
    chosen = draw_held_out(10_000, 2000)
    np.testing.assert_array_equal(chosen, draw_held_out(10_000, 2000))
    assert chosen.sum() == 2000
    # 200 expected in each tenth, with a standard deviation of 12.
    assert np.all(np.abs(chosen.reshape(10, 1000).sum(axis=1) - 200) < 50)


def test_a_draw_with_labels_takes_the_shares_of_the_classes_whatever_their_numbers():
    labels = np.repeat([7, 3], [60, 40])
    chosen = draw_held_out(100, 10, labels)
    assert (chosen[:60].sum(), chosen[60:].sum()) == (6, 4)
    assert draw_held_out(100, 0, labels).sum() == 0
