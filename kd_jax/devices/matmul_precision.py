"""Rewrites the matrix products of a program to take their inputs in bfloat16 and to add up in float32."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import JaxprEqn
from jax.sharding import Mesh

from kd_jax.devices.rewritten_program import rewritten_program

MATMUL_PRECISIONS = ('default', 'bfloat16')


def at_precision(function: Callable[..., Any], precision: str, mesh: Mesh) -> Callable[..., Any]:
    """The function itself for 'default', and `in_bfloat16` of it for 'bfloat16'."""
    return in_bfloat16(function, mesh.devices.flat[0].platform, mesh.size) if precision == 'bfloat16' else function


def in_bfloat16(function: Callable[..., Any], platform: str, devices: int = 1) -> Callable[..., Any]:
    """The same function with the inputs of its float32 matrix products and convolutions rounded to bfloat16.

    Products and their sums are float32, as are all arrays of the program. That is what TPUs do with float32 by
    default. Operations that ask for a precision of their own keep it.

    Args:
      function: takes and returns trees of arrays.
      platform: the platform of the devices that run it, for example 'cpu'.
      devices: the number of devices that share it. Several CPU devices multiply the rounded inputs in float32: the
        constraints that `_in_fast_order` needs would make each of them gather the whole batch.
    """
    return rewritten_program(function, functools.partial(_rounded, platform=platform, devices=devices))


def _rounded(operation: JaxprEqn, platform: str, devices: int) -> Callable[..., jax.Array] | None:
    product = operation.primitive is jax.lax.dot_general_p
    if not product and operation.primitive is not jax.lax.conv_general_dilated_p:
        return None
    arrays: list[Any] = [variable.aval for variable in (*operation.invars, *operation.outvars)]
    if operation.params['precision'] is not None or any(array.dtype != jnp.float32 for array in arrays):
        return None

    def rounded(x: jax.Array, y: jax.Array) -> jax.Array:
        if platform == 'cpu' and (devices > 1 or not product):  # XLA has no fast convolutions of bfloat16 on CPUs
            return operation.primitive.bind(*(jax.lax.reduce_precision(z, 8, 7) for z in (x, y)), **operation.params)
        x, y = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
        params = {**operation.params, 'preferred_element_type': jnp.dtype(jnp.float32)}
        return (_in_fast_order if platform == 'cpu' else operation.primitive.bind)(x, y, **params)

    return rounded


def _in_fast_order(x: jax.Array, y: jax.Array, **params: Any) -> jax.Array:
    """The matrix product of two arrays in bfloat16, in the order in memory for which XLA has fast routines on CPUs.

    What is summed over must lie on the last axes of the left array (jax 0.10.2). XLA would move transpositions through
    the product; the constraints make them stay. The gradient of a weight is computed as the product that autodiff
    transposes afterwards, so that both transpositions cancel.
    """
    (of_x, of_y), (batch_x, batch_y) = params['dimension_numbers']
    if swap := x.ndim - 1 not in of_x:
        x, y, of_x, of_y, batch_x, batch_y = y, x, of_y, of_x, batch_y, batch_x
    free = [axis for axis in range(x.ndim) if axis not in (*of_x, *batch_x)]
    x = _in_row_major(x.transpose((*batch_x, *free, *of_x)))
    last, first = tuple(range(x.ndim - len(of_x), x.ndim)), tuple(range(len(batch_x)))
    numbers = ((last, of_y), (first, batch_y))
    out = _in_row_major(jax.lax.dot_general_p.bind(x, _in_row_major(y), **{**params, 'dimension_numbers': numbers}))
    return jnp.moveaxis(out, range(len(first), len(first) + len(free)), range(-len(free), 0)) if swap else out


def _in_row_major(x: jax.Array) -> jax.Array:
    return with_layout_constraint(x, Layout(tuple(range(x.ndim))))
