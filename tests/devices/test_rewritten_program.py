"""Operations are replaced wherever they stand in a program, and everything else stays."""

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.devices.rewritten_program import rewritten_program


def cosine_for_sine(operation):
    return jnp.cos if operation.primitive.name == 'sin' else None


def program(sine):
    """Applies `sine` in a loop, in a branch, in a while loop, in a jitted and in a rematerialized function."""

    @jax.jit
    def jitted(x):
        return {'value': jax.checkpoint(sine)(x)}

    def body(x, each):
        return jax.lax.cond(each > 0, lambda: sine(x) + each, lambda: x - each), each

    def run(given):
        x, _ = jax.lax.scan(body, given['x'], jnp.array([1.0, -1.0, 2.0]))
        x = jax.lax.while_loop(lambda x: x.sum() < 100, lambda x: jnp.abs(sine(x)) + 2 * jnp.abs(x) + 1, x)
        return jitted(x), given['kept']

    return run


def test_in_loops_branches_and_inner_functions():
    given = {'x': jnp.array([0.3, 0.7]), 'kept': jnp.arange(3)}
    got = jax.jit(rewritten_program(program(jnp.sin), cosine_for_sine))(given)
    jax.tree.map(np.testing.assert_array_equal, got, jax.jit(program(jnp.cos))(given))


def test_a_program_without_the_operation_stays_as_it_is():
    given = {'x': jnp.array([0.3, 0.7]), 'kept': jnp.arange(3)}
    plain = program(jnp.tanh)
    assert str(jax.make_jaxpr(rewritten_program(plain, cosine_for_sine))(given)) == str(jax.make_jaxpr(plain)(given))


def test_gradients_are_taken_before():
    """The gradient of sine is a cosine; replaced afterwards, the sines that are left are those of the value."""

    def both(x):
        return jax.value_and_grad(lambda x: jnp.sin(x) ** 2)(x)  # sin^2 and 2 sin cos

    value, gradient = rewritten_program(both, cosine_for_sine)(0.4)
    np.testing.assert_allclose([value, gradient], [np.cos(0.4) ** 2, 2 * np.cos(0.4) ** 2], rtol=1e-6)
