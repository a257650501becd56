"""Measures what the checksums of a checkpoint's arrays cost, beside saving and restoring the checkpoint.

  python -m benchmarks.checkpoints --out=benchmarks/results/checkpoints.json

The states have 20 float32 matrices of random numbers. Saving and restoring contain the checksums.
"""

import itertools
import logging
import math
import pathlib
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import measure
from kd_jax.core.state import State
from kd_jax.training.array_checksums import array_checksums
from kd_jax.training.checkpoints import Checkpoints

MATRICES, MEGABYTES = 20, (10, 500)


def state_of(megabytes: int) -> State:
    rng, side = np.random.default_rng(0), math.isqrt(megabytes * 250_000 // MATRICES)
    matrices = {f'w{i}': jnp.asarray(rng.standard_normal((side, side), np.float32)) for i in range(MATRICES)}
    return State(jnp.int32(0), {'net': matrices}, {'net': {}}, {}, jax.random.key(0))


def measured(megabytes: int, directory: pathlib.Path, repeats: int) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """A row of the table, and the times in seconds of each side."""
    state, steps = state_of(megabytes), itertools.count(1)
    checkpoints = Checkpoints(directory / str(megabytes))

    def save() -> None:
        step = next(steps)
        checkpoints.save(state._replace(step=jnp.int32(step)), {'step': step})

    sides = {
        'checksums': lambda: array_checksums(state._asdict()),
        'saving': save,
        'restoring': lambda: checkpoints.restore(state),
    }
    seconds = measure.in_turn(sides, repeats)
    newest = directory / str(megabytes) / str(checkpoints.latest())
    checkpoints.close()
    stated = (newest / 'data' / '_strings.json').stat().st_size + (newest.parent / 'newest.json').stat().st_size
    size = sum(path.stat().st_size for path in newest.rglob('*') if path.is_file())
    times = {f'{side}, s': measure.median(own) for side, own in seconds.items()}
    share = times['checksums, s'] / times['saving, s']
    return {'MB': megabytes, **times, 'share of saving': share, 'bytes': size, 'of them checksums': stated}, seconds


def main() -> None:
    args = measure.arguments(__doc__.splitlines()[0]).parse_args()
    logging.getLogger('absl').setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        found = [measured(megabytes, pathlib.Path(name), args.repeats) for megabytes in MEGABYTES]
    seconds = {str(megabytes): own for megabytes, (_, own) in zip(MEGABYTES, found, strict=True)}
    measure.show('Checksums of checkpoints', [row for row, _ in found], args.out, seconds=seconds)


if __name__ == '__main__':
    main()
