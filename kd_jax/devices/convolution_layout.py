"""Rewrites the convolutions of a program to the one layout for which XLA has fast routines on CPUs."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import JaxprEqn

from kd_jax.devices.rewritten_program import rewritten_program

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
    return rewritten_program(function, _transposed)


def _transposed(convolution: JaxprEqn) -> Callable[..., jax.Array] | None:
    if convolution.primitive is not jax.lax.conv_general_dilated_p:
        return None
    params = convolution.params
    numbers, groups = params['dimension_numbers'], params['feature_group_count']
    if len(numbers.lhs_spec) != 4 or groups * params['batch_group_count'] != 1 or numbers == FAST:
        return None

    def transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        def moved(array, old, new):
            return jax.lax.transpose(array, [old[new.index(axis)] for axis in range(4)])

        out = jax.lax.conv_general_dilated_p.bind(
            moved(x, numbers.lhs_spec, FAST.lhs_spec),
            moved(kernel, numbers.rhs_spec, FAST.rhs_spec),
            **{**params, 'dimension_numbers': FAST},
        )
        return moved(out, FAST.out_spec, numbers.out_spec)

    return transposed
