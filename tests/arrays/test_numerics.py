"""Array functions that losses and models share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.arrays.numerics import standardised
from tests.losses.small_arrays import random


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
