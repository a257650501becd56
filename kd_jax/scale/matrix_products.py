"""Counts the operations of the matrix products in a traced program, those in a loop once for each iteration.

The compilers count the body of a loop once, which leaves out most of a model whose layers are a loop.
"""

import math
from collections.abc import Sequence
from typing import Any

from jax.extend.core import Literal

Read = list[bool]  # for each output, or each input, whether anything reads it


def count_operations(jaxpr: Any) -> float:
    """The multiplications and additions of all matrix products that the outputs of a program depend on.

    Convolutions are left out. Of a conditional, the branch with most operations counts; a loop whose number of
    iterations is not known counts once.

    Args:
      jaxpr: a closed jaxpr, for example `jax.jit(f).trace(*arguments).jaxpr`.
    """
    return _of_program(jaxpr, [True] * len(jaxpr.jaxpr.outvars))[0]


def _of_program(jaxpr: Any, read: Sequence[bool]) -> tuple[float, Read]:
    """The operations that those outputs need that are read, and which inputs they need."""
    jaxpr = getattr(jaxpr, 'jaxpr', jaxpr)
    live = {var for var, is_read in zip(jaxpr.outvars, read, strict=True) if is_read and not _constant(var)}
    total = 0.0
    for equation in reversed(jaxpr.eqns):
        wanted = [var in live for var in equation.outvars]
        if any(wanted) or equation.effects:
            operations, needed = _of_equation(equation, wanted)
            total += operations
            inputs = zip(equation.invars, needed, strict=True)
            live |= {var for var, is_needed in inputs if is_needed and not _constant(var)}
    return total, [var in live for var in jaxpr.invars]


def _of_equation(equation: Any, read: Read) -> tuple[float, Read]:
    params, every = equation.params, [True] * len(equation.invars)
    if equation.primitive.name == 'dot_general':
        (contracted, _), _ = params['dimension_numbers']
        summed = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * summed, every
    if equation.primitive.name == 'scan':
        return _of_scan(equation, read)
    if equation.primitive.name == 'cond':
        found = [_of_program(branch, read) for branch in params['branches']]
        return max(operations for operations, _ in found), [True, *map(any, zip(*(n for _, n in found), strict=True))]
    if equation.primitive.name == 'while':
        body = params['body_jaxpr']
        return _of_program(body, [True] * len(body.jaxpr.outvars))[0], every
    inner = params.get('jaxpr', params.get('call_jaxpr'))
    if inner is None:
        return 0.0, every
    operations, needed = _of_program(inner, read)
    return operations, needed if len(needed) == len(every) else every


def _of_scan(equation: Any, read: Read) -> tuple[float, Read]:
    """The operations of a loop; a carried value that only its own next value needs is left out."""
    body = equation.params['jaxpr']
    # What the body reads or gives in each iteration alone has one more axis outside.
    carried = sum(map(_same_axes, equation.outvars, body.jaxpr.outvars))
    consts = sum(map(_same_axes, equation.invars, body.jaxpr.invars)) - carried
    kept, stacked = read[:carried], read[carried:]
    while True:
        operations, needed = _of_program(body, [*kept, *stacked])
        wider = [old or new for old, new in zip(kept, needed[consts : consts + carried], strict=True)]
        if wider == kept:
            return equation.params['length'] * operations, [*needed[:consts], *kept, *needed[consts + carried :]]
        kept = wider


def _same_axes(outside: Any, inside: Any) -> bool:
    return outside.aval.ndim == inside.aval.ndim


def _constant(var: Any) -> bool:
    return isinstance(var, Literal)
