"""Replaces operations of a program that jax has traced, those of gradients and inside of loops among them."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun

Replace = Callable[[JaxprEqn], Callable[..., Any] | None]


def rewritten_program(function: Callable[..., Any], replace: Replace) -> Callable[..., Any]:
    """The same function with some of its operations replaced.

    Args:
      function: takes and returns trees of arrays.
      replace: gets an operation and returns the function of its inputs that takes its place, or None to keep it.
    """

    def rewritten(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        values = jaxpr_as_fun(_rewrite(closed, replace))(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), values)

    return rewritten


def _rewrite(program: Any, replace: Replace) -> Any:
    """Rewrites a program, or the programs among the parameters of an operation."""
    if isinstance(program, Jaxpr):  # first, because newer versions of jax have no other class
        return program.replace(eqns=[_rewrite_operation(operation, replace) for operation in program.eqns])
    if isinstance(program, ClosedJaxpr):
        return program.replace(jaxpr=_rewrite(program.jaxpr, replace))
    if isinstance(program, tuple) and any(isinstance(each, ClosedJaxpr | Jaxpr) for each in program):
        return tuple(_rewrite(each, replace) for each in program)
    return program


def _rewrite_operation(operation: JaxprEqn, replace: Replace) -> JaxprEqn:
    other = replace(operation)
    if other is None:
        params = {name: _rewrite(value, replace) for name, value in operation.params.items()}
        return operation.replace(params=params)
    called = jax.make_jaxpr(jax.jit(other))(*[variable.aval for variable in operation.invars])
    return called.eqns[0].replace(invars=operation.invars, outvars=operation.outvars)
