"""Rewrites the convolutions of a program to the one layout for which XLA has fast routines on CPUs."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun

# On which axis dimension i lies: batch, channels, height, width; outputs, channels, height, width. NHWC and HWIO.
FAST = jax.lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))


def in_fast_layout(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with all convolutions over images in the layout `FAST`, between transpositions.

    The gradients that autodiff gives have other layouts. XLA transposes them itself, but not inside a loop, where it
    computes them many times slower (jax issue 12868). Results inside of a loop are then those outside of it. Grouped
    convolutions stay as they are.

    Args:
      function: takes and returns trees of arrays.
    """

    def rewritten(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        values = jaxpr_as_fun(_rewrite(closed))(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), values)

    return rewritten


def _rewrite(program: Any) -> Any:
    """Rewrites a program, or the programs among the parameters of an equation."""
    if isinstance(program, Jaxpr):  # first, because newer versions of jax have no other class
        return program.replace(eqns=[_rewrite_equation(equation) for equation in program.eqns])
    if isinstance(program, ClosedJaxpr):
        return program.replace(jaxpr=_rewrite(program.jaxpr))
    if isinstance(program, tuple) and any(isinstance(each, ClosedJaxpr | Jaxpr) for each in program):
        return tuple(map(_rewrite, program))
    return program


def _rewrite_equation(equation: JaxprEqn) -> JaxprEqn:
    if equation.primitive is not jax.lax.conv_general_dilated_p:
        return equation.replace(params={name: _rewrite(value) for name, value in equation.params.items()})
    numbers, groups = equation.params['dimension_numbers'], equation.params['feature_group_count']
    if len(numbers.lhs_spec) != 4 or groups * equation.params['batch_group_count'] != 1:
        return equation
    if numbers == FAST:
        return equation

    @jax.jit
    def transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        def moved(array, old, new):
            return jax.lax.transpose(array, [old[new.index(axis)] for axis in range(4)])

        out = jax.lax.conv_general_dilated_p.bind(
            moved(x, numbers.lhs_spec, FAST.lhs_spec),
            moved(kernel, numbers.rhs_spec, FAST.rhs_spec),
            **{**equation.params, 'dimension_numbers': FAST},
        )
        return moved(out, FAST.out_spec, numbers.out_spec)

    called = jax.make_jaxpr(transposed)(*[variable.aval for variable in equation.invars])
    return called.eqns[0].replace(invars=equation.invars, outvars=equation.outvars)
