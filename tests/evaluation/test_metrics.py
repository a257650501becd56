import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.evaluation.metrics import counted, ratio, total, weighted_sum

WHERE = jnp.array([True, True, False])


def test_padding_and_masks_of_examples_or_values_leave_values_out():
    np.testing.assert_array_equal(counted(WHERE, None, (3, 2)), [[1, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(counted(WHERE, jnp.array([0.0, 0.5, 1.0]), (3, 2)), [[0, 0], [1, 1], [0, 0]])
    mask = jnp.array([[1, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(counted(WHERE, mask, (3, 2)), [[1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize('shape', [(2,), (3, 3), (3, 2, 1)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(UserError, match='the mask has shape'):
        counted(WHERE, jnp.ones(shape), (3, 2))


def test_a_value_that_does_not_count_may_be_nan():
    assert weighted_sum(jnp.array([1.0, 0.0]), jnp.array([2.0, jnp.nan])) == 2.0


def test_totals_run_over_batches_and_copies_in_float64():
    statistic = np.full((4, 2, 3), 2.0**24 + 2, np.float32)
    np.testing.assert_array_equal(total(statistic), np.full(3, 8 * (2.0**24 + 2)))
    assert total(statistic).dtype == np.float64


def test_a_ratio_to_nothing_is_not_defined():
    assert ratio(3, 4) == 0.75
    assert np.isnan(ratio(0, 0))
