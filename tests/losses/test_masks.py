"""Masks over examples and over pairs of examples, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.losses.masks import pair_mask, rows, valid

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 2, 2)


def test_an_example_counts_where_its_mask_is_positive_and_everywhere_without_a_mask():
    np.testing.assert_array_equal(valid(ARRAY, jnp.array([2, 0, 1])), [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(valid(ARRAY, jnp.array([False, True, False])), [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(valid(ARRAY, None), [1.0, 1.0, 1.0])


def test_a_mask_needs_one_entry_per_example():
    with pytest.raises(UserError, match=r'one entry per example, not \[3, 2\]'):
        valid(ARRAY, jnp.ones((3, 2)))


def test_rows_are_flat_and_zero_where_the_mask_is():
    spoilt = np.where(np.array([True, False, True])[:, None, None], ARRAY, np.nan)
    expected = [[0, 1, 2, 3], [0, 0, 0, 0], [8, 9, 10, 11]]
    np.testing.assert_array_equal(rows(spoilt, jnp.array([1, 0, 1])), expected)
    np.testing.assert_array_equal(rows(ARRAY, None), ARRAY.reshape(3, 4))


def test_a_pair_counts_if_both_examples_count():
    counts = jnp.array([1.0, 0.0, 1.0])
    np.testing.assert_array_equal(pair_mask(counts), [[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(pair_mask(counts, diagonal=False), [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
