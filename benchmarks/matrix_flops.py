"""Counts the floating-point operations of the matrix products and convolutions in a traced program.

They are what a card's published peak refers to. XLA's own count is no substitute: on GPUs it leaves out the products
that it hands to cuBLAS and cuDNN.
"""

import math
from collections.abc import Iterator
from typing import Any


def matrix_flops(jaxpr: Any) -> float:
    """Operations of one call of a program, a multiplication and an addition counted as two.

    A convolution counts as many as its forward pass would; the zeros that the gradient of a strided convolution puts
    between its inputs count as nothing, padding at the borders counts. Of the branches of a condition, the most
    expensive one counts.

    Args:
      jaxpr: of `jax.make_jaxpr(f)(...)` or `jax.jit(f).trace(...).jaxpr`.
    Raises:
      ValueError: there are products in a loop whose length is not known before it runs.
    """
    return sum(map(_of_equation, getattr(jaxpr, 'jaxpr', jaxpr).eqns))


def _of_equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    if name == 'dot_general':
        ((contracted, _), _), left = params['dimension_numbers'], equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
    if name == 'conv_general_dilated':
        kernel, of = equation.invars[1].aval.shape, params['dimension_numbers'].rhs_spec[0]
        window = math.prod(kernel) / kernel[of] / math.prod(params['lhs_dilation'])
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * window
    inner = [matrix_flops(jaxpr) for value in params.values() for jaxpr in _programs(value)]
    if name == 'while' and any(inner):
        raise ValueError('products in a loop of unknown length cannot be counted')
    if name == 'cond':
        return max(inner)
    return sum(inner) * (params['length'] if name == 'scan' else 1)


def _programs(value: Any) -> Iterator[Any]:
    if hasattr(getattr(value, 'jaxpr', value), 'eqns'):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _programs(each)
