"""Similarity of two networks' representations."""

from typing import Any

import numpy as np

from kd_jax.analyses.predictions import Splits
from kd_jax.analyses.units import states_units
from kd_jax.config.errors import UserError


@states_units(examples='count')
def cka(first: Splits, second: Splits, *, split: str = 'test') -> dict[str, Any]:
    """Linear centred kernel alignment of two activations over a whole split.

    Kornblith et al. (2019), section 3: |Y^T X|^2 / (|X^T X| |Y^T Y|) of the centred activations. Over a whole split it
    is free of the bias that the loss `cka` has on a small batch. Memory: dim x dim' numbers.

    Args:
      first: [examples, ...], flattened.
      second: [examples, ...], flattened, of any dimension.
      split: the split whose examples are used.
    Returns:
      'cka', in [0, 1], or None if one of the activations is constant; and 'examples', their number.
    Raises:
      UserError: no such split, or different numbers of examples.
    """
    for name, arrays in (('first', first), ('second', second)):
        if split not in arrays:
            raise UserError(f'cka: {name} has no split {split!r}; it has {", ".join(sorted(arrays))}.')
    x, y = (np.asarray(arrays[split], np.float64).reshape(len(arrays[split]), -1) for arrays in (first, second))
    if len(x) != len(y):
        raise UserError(f'cka: the first has {len(x)} examples and the second {len(y)}.')
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return {'cka': float(np.sum((y.T @ x) ** 2)) / scale if scale > 0 else None, 'examples': len(x)}
