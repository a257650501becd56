"""Metrics of networks that predict numbers."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.evaluation.metrics import Metric, Metrics, Statistics, counted, ratio, total, weighted_sum

STATED = {
    'count': Metric('count', None),
    'mse': Metric('number', 'lower'),
    'mae': Metric('number', 'lower'),
    'r2': Metric('number', 'higher'),
    'teacher_mse': Metric('number', 'lower'),
}


CONSTANT = 1e-12  # targets that vary by less than a millionth of their mean are constant: float32 rounds more


def regression_statistics(
    prediction: jax.Array,
    target: jax.Array,
    teacher: jax.Array | None = None,
    mask: jax.Array | None = None,
    *,
    where: jax.Array,
) -> dict[str, jax.Array]:
    """Sums over the examples of a batch, for each output.

    The targets leave as their count, mean and sum of squares around that mean. Sums of plain squares would lose the
    variance of targets that lie far from 0 in float32.

    Args:
      prediction: [batch, ...].
      target: of the same shape.
      teacher: predictions of a teacher, of the same shape; None leaves `teacher_mse` out.
      mask: [batch, ...] or [batch]; values > 0 count. None counts everything.
      where: [batch], False for padding.
    Returns:
      arrays [outputs], and the number of examples.
    Raises:
      UserError: the shapes do not fit.
    """
    for name, array in (('target', target), ('teacher', teacher)):
        if array is not None and array.shape != prediction.shape:
            raise UserError(f'the prediction has shape {list(prediction.shape)} and the {name} {list(array.shape)}')
    weight = counted(where, mask, prediction.shape).reshape(len(prediction), -1)
    guess, true = (array.astype(jnp.float32).reshape(weight.shape) for array in (prediction, target))
    count = jnp.sum(weight, 0)
    mean = weighted_sum(weight, true, (0,)) / jnp.maximum(count, 1.0)
    sums = {
        'examples': jnp.sum(jnp.max(weight, -1)),
        'count': count,
        'mean': mean,
        'spread': weighted_sum(weight, jnp.square(true - mean), (0,)),
        'squares': weighted_sum(weight, jnp.square(guess - true), (0,)),
        'absolute': weighted_sum(weight, jnp.abs(guess - true), (0,)),
    }
    if teacher is not None:
        other = teacher.astype(jnp.float32).reshape(weight.shape)
        sums['teacher_squares'] = weighted_sum(weight, jnp.square(guess - other), (0,))
    return sums


def regression_values(
    statistics: Statistics, *, r2: Literal['each_output', 'pooled'] = 'each_output'
) -> dict[str, float]:
    """Metrics: count, mse, mae, r2; teacher_mse, the mean squared distance from the teacher's prediction.

    The mean squared error (mse) and the mean absolute error (mae) are means over examples and outputs. r2 is 1 minus
    the sum of squared errors over the sum of squared distances of the targets from their mean; NaN for
    constant targets.

    Args:
      statistics: those of `regression_statistics`, [batches, copies, ...] each.
      r2: with several outputs, 'each_output' is the mean of the r2 of each output (of those whose targets vary), and
        'pooled' sums both squares over all outputs first. The mean of the targets is always that of one output.
    """
    copies = statistics['count'].shape[1]
    count = total(statistics['count'])
    wide = {name: np.asarray(array, np.float64) for name, array in statistics.items()}
    n, errors = wide['count'].sum(0), wide['squares'].sum(0)  # [copies, outputs]
    mean = (wide['count'] * wide['mean']).sum(0) / np.maximum(n, 1.0)
    variation = (wide['spread'] + wide['count'] * np.square(wide['mean'] - mean)).sum(0)
    rounding = CONSTANT * n * np.square(mean)
    if r2 == 'pooled':
        errors, variation, rounding = (array.sum(-1, keepdims=True) for array in (errors, variation, rounding))
    varies = variation > rounding
    out = {
        'count': round(float(total(statistics['examples'])) / copies),
        'mse': ratio(total(statistics['squares']).sum(), count.sum()),
        'mae': ratio(total(statistics['absolute']).sum(), count.sum()),
        'r2': ratio(np.sum(1.0 - errors[varies] / variation[varies]), varies.sum()),
    }
    if 'teacher_squares' in statistics:
        out['teacher_mse'] = ratio(total(statistics['teacher_squares']).sum(), count.sum())
    return out


regression = Metrics(regression_statistics, regression_values, STATED, 'mse')
