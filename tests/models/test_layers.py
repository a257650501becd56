import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.models.layers import Dropout

X = np.random.default_rng(0).normal(size=(16, 9)).astype(np.float32)


def dropped(layer, rate, x=X):
    """The layer's values at a rate that is constant in the program."""
    apply = jax.jit(lambda x: layer(rate, deterministic=False).apply({}, x, rngs={'dropout': jax.random.key(3)}))
    return apply(x)


@jax.jit
def dropped_at(rate, x=X):
    """The values at a rate that is an argument of the program."""
    return Dropout(rate, deterministic=False).apply({}, x, rngs={'dropout': jax.random.key(3)})


@pytest.mark.parametrize('rate', [0, 0.0, 0.1, 0.5, 1.0])
def test_a_constant_rate_gives_what_flax_gives_bit_for_bit(rate, assert_bitwise):
    assert_bitwise(dropped(Dropout, rate), dropped(nn.Dropout, rate))
    low = X.astype(jnp.bfloat16)
    assert_bitwise(dropped(Dropout, rate, low), dropped(nn.Dropout, rate, low))


def test_a_traced_rate_gives_what_the_constant_gives():
    for rate in (0.0, 0.25, 0.5, 1.0):
        np.testing.assert_array_equal(dropped_at(rate), dropped(nn.Dropout, rate))
    assert dropped_at(0.25, X.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_the_gradient_is_finite_at_rate_one_and_by_hand_in_between():
    gradient = jax.grad(lambda x, rate: jnp.sum(dropped_at(rate, x)))
    np.testing.assert_array_equal(gradient(X, 1.0), 0.0)
    # What is kept is divided by 3 / 4.
    np.testing.assert_allclose(gradient(X, 0.25), np.where(dropped_at(0.25) == 0, 0.0, 4 / 3), rtol=1e-6)


def test_nothing_is_dropped_in_evaluation():
    np.testing.assert_array_equal(Dropout(0.5, deterministic=True).apply({}, X), X)
