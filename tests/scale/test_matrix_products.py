"""Operations of matrix products, counted by hand: 2 n m k for each product of n x k and k x m."""

import jax
import jax.numpy as jnp
import pytest

from kd_jax.scale.matrix_products import count_operations

X, W = jnp.ones((3, 5)), jnp.ones((5, 5))
ONE = 2 * 3 * 5 * 5  # the operations of x @ w


def counted(function, *arguments):
    return count_operations(jax.jit(function).trace(*arguments).jaxpr)


def layers(x, stack):
    """A loop that also returns a product of each layer."""
    return jax.lax.scan(lambda x, w: (x @ w, x @ w @ w), x, stack)


def test_a_loop_counts_once_for_each_iteration():
    stack = jnp.ones((7, 5, 5))
    assert counted(layers, X, stack) == 7 * 3 * ONE
    assert counted(lambda x, stack: layers(x, stack)[0], X, stack) == 7 * ONE  # what nothing reads is not computed


def test_a_batch_of_products_counts_each():
    assert counted(lambda a, b: jnp.einsum('bij,bjk->bik', a, b), jnp.ones((4, 2, 3)), jnp.ones((4, 3, 6))) == 4 * 72


@pytest.mark.parametrize(('remat', 'products'), [(False, 3), (True, 4)])
def test_a_gradient_has_two_more_products_and_one_more_where_layers_are_computed_again(remat, products):
    body = jax.checkpoint(lambda x, w: jnp.sin(x @ w)) if remat else lambda x, w: jnp.sin(x @ w)

    def loss(stack):
        return jnp.sum(jax.lax.scan(lambda x, w: (body(x, w), None), X, stack)[0])

    assert counted(jax.grad(loss), jnp.ones((7, 5, 5))) == 7 * products * ONE


def test_a_value_that_a_loop_carries_for_itself_alone_does_not_count():
    def body(carry, w):
        x, other = carry
        return (x @ w, other @ w), None

    assert counted(lambda: jax.lax.scan(body, (X, X), jnp.ones((7, 5, 5)))[0][0]) == 7 * ONE


def test_branches_count_as_the_largest_and_unknown_loops_once():
    assert counted(lambda x, i: jax.lax.cond(i > 0, lambda: x @ W @ W, lambda: x), X, 1) == 2 * ONE
    assert counted(lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ W, x), X) == ONE
