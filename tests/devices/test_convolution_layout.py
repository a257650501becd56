"""Tests of the layout of convolutions: every one of a program is rewritten, and none changes what it computes."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.devices.convolution_layout import FAST, in_fast_layout

IN_FAST_LAYOUT = '[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]'


def layouts(function, *arguments):
    """The layouts of the convolutions in the program that XLA gets."""
    text = jax.jit(function).lower(*arguments).as_text()
    return re.findall(r'dim_numbers = (.*?), window', text)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(('size', 'stride', 'pad'), [(3, 1, 'SAME'), (3, 2, ((1, 1), (1, 1))), (2, 3, 'VALID')])
def test_gradients_in_a_loop_with_branches_and_remat_get_the_layout_and_keep_their_values(size, stride, pad):
    def loss(kernel, x):
        out = jax.lax.conv_general_dilated(x, kernel, (stride, stride), pad, dimension_numbers=FAST)
        return jnp.sum(jnp.sin(out))

    def train(given, number):
        def step(kernel, even):
            of_kernel, of_x = jax.checkpoint(jax.grad(loss, argnums=(0, 1)))(kernel, given['x'])
            near = jax.lax.cond(even, lambda: loss(kernel, of_x), lambda: jnp.zeros(()))
            return kernel - 0.01 * of_kernel, near

        return jax.lax.scan(step, given['kernel'], jnp.arange(3) % number == 0)

    given = {'kernel': normal(size, size, 2, 5), 'x': normal(3, 7, 9, 2)}
    before, after = (layouts(function, given, 2) for function in (train, in_fast_layout(train)))
    assert len(before) == len(after)
    assert set(after) == {IN_FAST_LAYOUT} < set(before)
    wanted, got = jax.jit(train)(given, 2), jax.jit(in_fast_layout(train))(given, 2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, wanted)


def test_other_layouts_than_those_of_gradients_keep_their_values():
    x, kernel, numbers = normal(2, 3, 8, 7), normal(5, 3, 3, 3), ('NCHW', 'OIWH', 'CHWN')

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 2), 'SAME', dimension_numbers=numbers)

    assert layouts(in_fast_layout(convolve), x, kernel) == [IN_FAST_LAYOUT]
    np.testing.assert_allclose(in_fast_layout(convolve)(x, kernel), convolve(x, kernel), rtol=1e-5, atol=1e-5)


def test_grouped_convolutions_and_those_over_one_axis_stay_as_they_are():
    def grouped(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), 'SAME', dimension_numbers=('NCHW', 'OIHW', 'NCHW'), feature_group_count=2
        )

    def over_time(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1,), 'SAME', dimension_numbers=('NCH', 'OIH', 'NCH'))

    for function, shapes in ((grouped, [(2, 4, 5, 5), (6, 2, 3, 3)]), (over_time, [(2, 4, 5), (6, 4, 3)])):
        arguments = [normal(*shape) for shape in shapes]
        assert str(jax.make_jaxpr(in_fast_layout(function))(*arguments)) == str(jax.make_jaxpr(function)(*arguments))
