"""Batch norm: its values are those of flax, and its hand-written gradient is that of autodiff."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.models.batch_norm import BatchNorm, normalize

SHAPE = (6, 5, 4, 3)


def arrays(dtype):
    x, weight = (jax.random.normal(jax.random.key(i), SHAPE, dtype) for i in (0, 1))
    return 3 + 2 * x, jnp.array([0.5, 1.0, -2.0], dtype), jnp.array([0.1, 0.0, 3.0], dtype), weight


def by_autodiff(x, scale, bias):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / jnp.sqrt(variance + 1e-5) * scale + bias, mean, variance


def test_the_gradient_is_that_of_autodiff_also_through_the_statistics():
    with jax.enable_x64(True):
        x, scale, bias, weight = arrays(jnp.float64)
        of_statistics = jnp.array([[1.0, -2.0, 0.5], [0.3, 0.0, -1.0]])

        def loss(function, *inputs):
            y, mean, variance = function(*inputs)
            return jnp.sum(weight * jnp.sin(y)) + of_statistics[0] @ mean + of_statistics[1] @ variance**2

        got, want = (
            jax.grad(lambda *a, f=f: loss(f, *a), argnums=(0, 1, 2))(x, scale, bias) for f in (normalize, by_autodiff)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), got, want)


def test_gradients_of_gradients_are_those_of_autodiff():
    with jax.enable_x64(True):
        x, scale, bias, weight = arrays(jnp.float64)

        def steepness(function):
            slope = jax.grad(lambda x: jnp.sum(weight * function(x, scale, bias)[0] ** 2))
            return jax.grad(lambda x: jnp.sum(slope(x) ** 2))(x)

        np.testing.assert_allclose(steepness(normalize), steepness(by_autodiff), rtol=1e-8, atol=1e-10)


def test_no_gradient_goes_along_a_shift_or_a_scaling_of_the_input():
    x, scale, bias, weight = arrays(jnp.float32)
    slope = jax.grad(lambda x: jnp.sum(weight * normalize(x, scale, bias)[0]))(x)
    np.testing.assert_allclose(slope.sum((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose((slope * (x - x.mean((0, 1, 2)))).sum((0, 1, 2)), 0, atol=1e-3)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('average', [True, False])
def test_values_and_running_averages_are_bitwise_those_of_flax(dtype, average):
    x = arrays(jnp.float32)[0].astype(dtype)
    ours, theirs = BatchNorm(average), nn.BatchNorm(average, momentum=0.9, epsilon=1e-5)
    variables = theirs.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(jnp.shape, variables)
    variables['params'] = {'scale': jnp.array([0.5, 1, -2], dtype), 'bias': jnp.array([0.1, 0, 3], dtype)}
    got, want = (model.apply(variables, x, mutable=['batch_stats']) for model in (ours, theirs))
    assert got[0].dtype == dtype
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_each_copy_under_vmap_is_normalised_on_its_own():
    x, scale, bias, weight = arrays(jnp.float32)
    both = jnp.stack([x, 2 - x**2])

    def slope(x):
        return jax.grad(lambda x: jnp.sum(weight * normalize(x, scale, bias)[0]))(x)

    np.testing.assert_allclose(jax.vmap(slope)(both), jnp.stack([*map(slope, both)]), rtol=1e-5, atol=1e-6)
