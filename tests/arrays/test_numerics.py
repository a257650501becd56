"""Array functions that losses and models share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.arrays.numerics import log_tail, max_pooled, mean, norm, product, standardised, unit_length, wide
from tests.losses.small_arrays import random


def test_half_precision_becomes_float32_and_other_floats_stay():
    assert wide(jnp.zeros(2, jnp.bfloat16)).dtype == wide(jnp.zeros(2)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert wide(jnp.zeros(2, jnp.float64)).dtype == jnp.float64


def test_norms_by_hand_and_the_gradient_at_zero():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(norm(x), [5.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(unit_length(x), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(unit_length(x, axis=0), [[1.0, 1.0], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(norm(x)))(x), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(unit_length(x)))(x)[1], 0.0)


def test_a_mean_takes_the_entries_of_weight_1_and_is_0_without_any():
    x = jnp.array([1.0, jnp.nan, 5.0])
    assert mean(x, jnp.array([1.0, 0.0, 1.0])) == 3.0
    assert mean(x, jnp.zeros(3)) == 0.0


def test_a_product_is_that_of_the_rows_of_both():
    np.testing.assert_array_equal(product(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [5.0, 6.0]])), [[11.0, 17.0]])


def test_maxima_over_blocks_by_hand():
    rows = jnp.array([[1.0, 2.0, 3.0], [4.0, 0.0, 5.0], [-7.0, -8.0, -9.0]])[..., None]
    # Blocks of 2 x 2; the last row and the last column have blocks of their own.
    np.testing.assert_array_equal(max_pooled(rows, (2, 2))[..., 0], [[4.0, 5.0], [-7.0, -9.0]])
    np.testing.assert_array_equal(max_pooled(rows, (1, 3))[0, :, 0], [4.0, 2.0, 5.0])


def test_the_tail_is_the_probability_of_all_other_classes():
    log_probs = jnp.log(jnp.array([0.5, 0.125, 0.25, 0.125]))
    np.testing.assert_allclose(jnp.exp(log_tail(log_probs, jnp.array([0, 2]))), [0.25], rtol=1e-6)
    assert log_tail(log_probs, jnp.arange(4))[0] == -jnp.inf


def test_a_tail_without_probability_moves_nothing():
    log_probs = jnp.array([jnp.log(0.25), -jnp.inf, jnp.log(0.75), -jnp.inf])
    for classes in (jnp.array([0, 2]), jnp.arange(4)):
        tail, grad = jax.value_and_grad(lambda x, c=classes: log_tail(x, c)[0])(log_probs)
        assert tail == -jnp.inf
        np.testing.assert_array_equal(grad, 0.0)
    # Of the other classes one has all of the tail, so it alone moves it.
    grad = jax.grad(lambda x: log_tail(x, jnp.array([0]))[0])(log_probs)
    np.testing.assert_allclose(grad, [0.0, 0.0, 1.0, 0.0], rtol=1e-6)
    assert jnp.isnan(log_tail(log_probs.at[1].set(jnp.nan), jnp.array([0, 2]))[0])


def test_standardised_logits_have_mean_0_and_deviation_1_and_constants_become_0():
    z = np.asarray(standardised(random(4, 7)))
    np.testing.assert_allclose(z.mean(-1), 0.0, atol=1e-6)
    np.testing.assert_allclose(z.std(-1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(standardised(np.full(3, 5.0, np.float32)), 0.0)
    # (0, 1, 2): variance 2/3.
    np.testing.assert_allclose(standardised(np.array([0.0, 1.0, 2.0])), [-(1.5**0.5), 0.0, 1.5**0.5], rtol=1e-6)


@pytest.mark.parametrize('loss', ['dist', 'kd'])
@pytest.mark.parametrize(('classes', 'value'), [(10, 0.0), (41, 0.3), (3, -7.7)])
def test_constant_logits_are_equal_not_noise_and_move_nothing(loss, classes, value):
    """As for a head initialised with zeros: the rounding error of x - mean(x) must not be scaled to size 1."""
    target = np.random.default_rng(1).normal(size=(8, classes)).astype(np.float32)
    options = {'standardise': True} if loss == 'kd' else {'t': 4.0}

    def total(student):
        return jnp.sum(getattr(losses, loss)(student, target, **options))

    gradient = jax.jit(jax.grad(total))(np.full((8, classes), value, np.float32))
    np.testing.assert_array_equal(gradient, 0.0)
