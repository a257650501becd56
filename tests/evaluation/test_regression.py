import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.evaluation import regression

TARGET = np.array([[1.0], [2.0], [6.0]], np.float32)
PREDICTION = np.array([[2.0], [2.0], [3.0]], np.float32)


def test_errors_of_three_examples_by_hand():
    # Errors 1, 0, -3. The targets have mean 3 and lie 2, 1 and 3 from it: 4 + 1 + 9 = 14.
    found = regression(PREDICTION, TARGET)
    assert found == pytest.approx({'count': 3, 'mse': 10 / 3, 'mae': 4 / 3, 'r2': 1 - 10 / 14})


def test_the_mean_of_the_targets_has_an_r2_of_zero_and_the_targets_one():
    assert regression(np.full_like(TARGET, 3.0), TARGET)['r2'] == pytest.approx(0.0)
    assert regression(TARGET, TARGET)['r2'] == 1.0


def test_targets_far_from_zero_keep_their_r2():
    far = regression(PREDICTION + 10_000, TARGET + 10_000)
    assert far['r2'] == pytest.approx(1 - 10 / 14, rel=1e-5)


def test_constant_targets_have_no_r2():
    for constant in (0.0, 1.0, 0.1):
        assert np.isnan(regression(np.arange(7.0), np.full(7, constant))['r2'])


def test_r2_of_several_outputs_is_a_mean_over_outputs_or_pooled():
    # The second output has errors 1, 1, 1 and targets 0, 2, 4: an r2 of 1 - 3/8. Pooled: 1 - 13/22.
    target = np.concatenate([TARGET, [[0.0], [2.0], [4.0]]], axis=1)
    prediction = np.concatenate([PREDICTION, [[1.0], [3.0], [5.0]]], axis=1)
    assert regression(prediction, target)['r2'] == pytest.approx(1 - (10 / 14 + 3 / 8) / 2)
    assert regression(prediction, target, r2='pooled')['r2'] == pytest.approx(1 - 13 / 22)
    assert regression(prediction, target)['mse'] == pytest.approx(13 / 6)
    constant = np.concatenate([TARGET, np.ones((3, 1))], axis=1)
    assert regression(prediction, constant)['r2'] == pytest.approx(1 - 10 / 14)


def test_distance_from_a_teacher_by_hand():
    assert regression(PREDICTION, TARGET, PREDICTION + 2)['teacher_mse'] == pytest.approx(4.0)


def test_masked_values_count_nowhere_even_if_they_are_nan():
    rng = np.random.default_rng(0)
    prediction, target = rng.normal(size=(2, 6, 3)).astype(np.float32)
    gaps = np.where(np.arange(6)[:, None] < 4, target, np.nan)
    assert regression(prediction, gaps, None, np.arange(6) < 4) == pytest.approx(
        regression(prediction[:4], target[:4]), rel=1e-5
    )
    one_output = regression(prediction, target, None, np.broadcast_to(np.arange(3) == 1, (6, 3)))
    assert one_output == pytest.approx(regression(prediction[:, 1], target[:, 1]), rel=1e-5)


def test_a_target_of_another_shape_is_refused():
    with pytest.raises(UserError, match=r'prediction has shape \[3, 1\] and the target \[3\]'):
        regression(jnp.zeros((3, 1)), jnp.zeros(3))
