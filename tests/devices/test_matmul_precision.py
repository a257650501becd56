"""Matrix products of float32 arrays with inputs rounded to bfloat16: the exact product of the rounded inputs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from kd_jax.devices.matmul_precision import in_bfloat16

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def rounded(x):
    """To the nearest number with 8 bits of precision, ties to even, in float64."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def product_types(function, *arguments):
    """The types of the left input and of the result of every matrix product and convolution of a program."""
    found = []

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ('dot_general', 'conv_general_dilated'):
                found.append((str(equation.invars[0].aval.dtype), str(equation.outvars[0].aval.dtype)))
            for inner in jaxprs_in_params(equation.params):
                visit(inner)

    visit(jax.make_jaxpr(function)(*arguments).jaxpr)
    return found


def close(got, wanted):
    """Equal but for sums in float32."""
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(('left', 'right', 'looped'), [*itertools.product(('xk', 'kx'), ('ky', 'yk'), (False, True))])
def test_a_product_is_that_of_the_rounded_inputs(left, right, looped):
    sizes = {'x': 24, 'k': 33, 'y': 17}
    x, y = (normal(*(sizes[axis] for axis in axes)) for axes in (left, right))

    def product(x, y):
        return jnp.einsum(f'{left},{right}->xy', x, y)

    def in_loop(x, y):
        return jax.lax.scan(lambda carry, _: (carry, product(carry, y)), x, None, length=2)[1][1]

    got = jax.jit(in_bfloat16(in_loop if looped else product, 'cpu'))(x, y)
    assert got.dtype == jnp.float32
    close(got, np.einsum(f'{left},{right}->xy', rounded(x), rounded(y)))
    assert np.abs(got - product(x, y)).max() > 1e-3  # rounding shows


@pytest.mark.parametrize('formula', ['bqhd,bkhd->bhqk', 'bhqk,bkhd->bqhd', 'bsd,dhe->bshe', 'nbd,nde->nbe', 'bd,d->b'])
def test_products_with_axes_of_examples_and_their_gradients(formula):
    inputs, out = formula.split('->')
    sizes = dict(zip('bqhdkse', (2, 5, 3, 8, 6, 7, 4), strict=True), n=3)
    x, y = (normal(*(sizes[axis] for axis in axes)) for axes in inputs.split(','))
    g = normal(*(sizes[axis] for axis in out))

    def pulled_back(x, y, g):
        value, pull = jax.vjp(lambda x, y: jnp.einsum(formula, x, y), x, y)
        return value, *pull(g)

    got = jax.jit(in_bfloat16(pulled_back, 'cpu'))(x, y, g)
    assert product_types(in_bfloat16(pulled_back, 'tpu'), x, y, g) == [('bfloat16', 'float32')] * 3
    left, right = inputs.split(',')
    close(got[0], np.einsum(formula, rounded(x), rounded(y)))
    close(got[1], np.einsum(f'{out},{right}->{left}', rounded(g), rounded(y)))
    close(got[2], np.einsum(f'{left},{out}->{right}', rounded(x), rounded(g)))


def test_a_convolution_is_that_of_the_rounded_inputs():
    x, kernel = normal(2, 6, 6, 3), normal(3, 3, 3, 4)

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))

    got = jax.jit(in_bfloat16(convolve, 'cpu'))(x, kernel)
    assert product_types(in_bfloat16(convolve, 'gpu'), x, kernel) == [('bfloat16', 'float32')]
    padded = np.pad(rounded(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))  # [batch, row, column, channel, 3, 3]
    close(got, np.einsum('brcihw,hwio->brco', windows, rounded(kernel)))


def test_other_types_and_products_with_a_precision_of_their_own_stay():
    x, y = normal(4, 4), normal(4, 4)

    def exact(x, y):
        return jnp.matmul(x, y, precision='highest') + jnp.matmul(x.astype(jnp.float16), y.astype(jnp.float16))

    assert str(jax.make_jaxpr(in_bfloat16(exact, 'cpu'))(x, y)) == str(jax.make_jaxpr(exact)(x, y))


def test_every_product_of_a_gradient_is_rounded_where_it_stands_in_loops_and_branches():
    x, kernels = normal(8, 16), 0.2 * normal(3, 16, 16)

    @jax.checkpoint
    def layer(x, kernel):
        return jax.lax.cond(kernel[0, 0] < 9, lambda: jnp.tanh(x @ kernel), lambda: x), None

    def loss(kernels, x):
        return jnp.square(jax.lax.scan(layer, x, kernels)[0]).sum()

    types = product_types(in_bfloat16(jax.grad(loss), 'cpu'), kernels, x)
    assert len(types) == len(product_types(jax.grad(loss), kernels, x)) > 3
    assert set(types) == {('bfloat16', 'float32')}
    got, wanted = jax.jit(in_bfloat16(jax.grad(loss), 'cpu'))(kernels, x), jax.grad(loss)(kernels, x)
    assert 1e-4 < np.linalg.norm(got - wanted) / np.linalg.norm(wanted) < 2e-2
