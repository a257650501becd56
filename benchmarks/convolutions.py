"""A training step of a ResNet under several options of XLA's CPU compiler, with two gradients of batch norm.

  python -m benchmarks.convolutions --out=benchmarks/results/convolutions.json

The student is ResNet-20 of the pair that `benchmarks.pytorch` compares, with a cached or a live teacher ResNet-56. The
rule that follows from it is in kd_jax/devices/compiler_options.py.
"""

import itertools
import unittest.mock
from collections.abc import Callable
from typing import Any

from benchmarks import measure, pairs
from kd_jax.devices import compiler_options
from kd_jax.models import batch_norm

OPTION = compiler_options.CONVOLUTIONS_ON_CPU[0]
TO_YNNPACK = {  # what XLA hands to YNNPACK
    'default': None,
    'single matrix products': 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT',
    'matrix products, reductions, elementwise': compiler_options.CONVOLUTIONS_ON_CPU[1],
}
GRADIENTS = {'by hand': batch_norm.normalize, 'autodiff': batch_norm.normalize.fun}


def main() -> None:
    args = measure.arguments(__doc__.splitlines()[0]).parse_args()
    pair, sides = pairs.resnet(), {}
    for kind, (option, value), gradient in itertools.product(('cached', 'live'), TO_YNNPACK.items(), GRADIENTS):
        sides[kind, option, gradient] = compiled(pair, kind == 'cached', value, gradient)
    seconds = measure.in_turn(sides, args.repeats)
    rows = [
        {'teacher': kind, 'handed to YNNPACK': option, 'gradient of batch norm': gradient,
         'ms a step': 1e3 * measure.median(seconds[kind, option, gradient]) / pair.steps,
         'against the default': measure.median(seconds[kind, option, gradient])
         / measure.median(seconds[kind, 'default', 'autodiff'])}
        for kind, option, gradient in sides
    ]  # fmt: skip
    named = {', '.join(side): values for side, values in seconds.items()}
    measure.show('ResNet-20 under several compiler options', rows, args.out, seconds=named)


def compiled(pair: pairs.Pair, cached: bool, value: str | None, gradient: str) -> Callable[[], Any]:
    """The steps of the pair, compiled with this value of the option and this gradient of batch norm."""
    options = {} if value is None else {OPTION: value}
    with (
        unittest.mock.patch.object(batch_norm, 'normalize', GRADIENTS[gradient]),
        unittest.mock.patch('benchmarks.chunk.compiler_options', return_value=options),
    ):
        return pairs.in_kd_jax(pair, cached).run


if __name__ == '__main__':
    main()
