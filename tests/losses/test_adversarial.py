"""Losses for networks with opposing goals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses

LOG2 = np.log(2.0)


def test_a_judge_that_cannot_tell_loses_two_bits_and_one_that_can_nothing():
    np.testing.assert_allclose(losses.judge(jnp.zeros(3), jnp.zeros(3)), 2 * LOG2, rtol=1e-6)
    np.testing.assert_allclose(losses.judge(jnp.full(3, -40.0), jnp.full(3, 40.0)), 0.0, atol=1e-6)
    # log(1 + e^2) + log(1 + e^-1)
    np.testing.assert_allclose(losses.judge(jnp.array(2.0), jnp.array(1.0)), 2.126928 + 0.313262, rtol=1e-6)


def test_the_best_score_is_the_log_ratio_of_how_often_it_is_met():
    # One activation that occurs three times in the teacher and once in the student: the best score is log 3.
    def loss(score):
        both, never = losses.judge(score, score), jnp.array(40.0)
        return both + 2 * losses.judge(-never, score)

    assert jax.grad(loss)(jnp.log(3.0)) == pytest.approx(0.0, abs=1e-6)
    assert abs(jax.grad(loss)(jnp.log(2.0))) > 0.1


def test_a_student_is_pulled_hardest_where_the_judge_is_sure():
    np.testing.assert_allclose(losses.deceive(jnp.array([0.0, 1.0])), [LOG2, 0.313262], rtol=1e-5)
    slopes = jax.vmap(jax.grad(losses.deceive))(jnp.array([-8.0, 0.0, 8.0]))
    np.testing.assert_allclose(slopes, [-0.999665, -0.5, -0.000335], atol=1e-6)


def test_a_batch_that_meets_all_classes_alike_is_balanced():
    assert losses.class_imbalance(jnp.zeros((4, 3))) == pytest.approx(0.0, abs=1e-6)
    assert losses.class_imbalance(jnp.eye(3) * 50.0) == pytest.approx(0.0, abs=1e-6)
    assert losses.class_imbalance(jnp.eye(3)[jnp.zeros(5, int)] * 50.0) == pytest.approx(np.log(3.0), abs=1e-5)
    # Half of the batch is in one class and half in another: log 3 - log 2.
    assert losses.class_imbalance(jnp.eye(3)[jnp.array([0, 0, 1, 1])] * 50.0) == pytest.approx(np.log(1.5), abs=1e-5)


def test_the_code_of_dafl_has_the_logarithm_to_base_10():
    assert losses.class_imbalance(jnp.eye(10)[jnp.zeros(5, int)] * 50.0, form='code') == pytest.approx(1.0, abs=1e-5)


def test_activity_is_the_mean_size_of_features():
    np.testing.assert_allclose(losses.inactivity(jnp.array([[1.0, -3.0], [0.0, 0.5]])), [-2.0, -0.25])
