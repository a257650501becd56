"""How fast a trained network is."""

import time
from collections.abc import Mapping
from typing import Any

from kd_jax.analyses.predictions import Predict, predicts_again
from kd_jax.analyses.units import states_units
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count


@predicts_again
@states_units(examples='count', seconds='seconds', examples_per_second='number')
def speed(
    output: Mapping[str, Predict], *, split: str = 'test', examples: Count = 256, repeats: Count = 5
) -> dict[str, Any]:
    """How many examples a second a network computes, on the devices of the run, with all networks that it reads.

    The fastest of `repeats` passes counts, because other programs on the machine can only make it slower. A pass before
    these compiles the program. Arrays are on the host before the clock starts, and the output is there when it stops.

    Args:
      output: what is computed; nothing else is.
      split: the split whose first examples are read.
      examples: how many of them; all if the split has fewer.
      repeats: number of passes.
    Returns:
      'examples_per_second'; 'seconds', of the fastest pass; and 'examples', their number.
    Raises:
      UserError: there is no such split.
    """
    if split not in output:
        raise UserError(f'speed: output has no split {split!r}; it has {", ".join(sorted(output))}.')
    predict, seconds = output[split], list[float]()
    found = len(predict(examples))
    for _ in range(repeats):
        started = time.perf_counter()
        predict(examples)
        seconds.append(time.perf_counter() - started)
    fastest = max(min(seconds), 1e-9)
    return {'examples_per_second': found / fastest, 'seconds': fastest, 'examples': found}
