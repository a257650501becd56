"""Metrics of classifiers: one class for each example, or one for each position."""

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.evaluation.metrics import (
    Metric,
    Metrics,
    Statistics,
    check_labels_of_logits,
    compared_with_teacher,
    counted,
    total,
    weighted_sum,
)

ECE_BINS = 15


STATED = {
    'count': Metric('count', None),
    'errors': Metric('count', 'lower'),
    'accuracy': Metric('fraction', 'higher'),
    'nll': Metric('nats', 'lower'),
    'ece': Metric('number', 'lower'),
    'agreement': Metric('fraction', 'higher'),
    'kl': Metric('nats', 'lower'),
}


def statistics_of_examples(
    logits: jax.Array, labels: jax.Array, teacher: jax.Array | None = None, *, where: jax.Array
) -> dict[str, jax.Array]:
    """Sums over examples; `classification_values` turns them into metrics.

    Args:
      logits: [batch, num_classes].
      labels: integers, [batch].
      teacher: logits [batch, num_classes] for agreement and KL(teacher || student); None leaves these two out.
      where: [batch], False for padding.
    Returns:
      scalars, and three arrays [ECE_BINS] of the calibration histogram.
    Raises:
      UserError: the shapes do not fit.
    """
    if logits.ndim != 2:
        raise UserError(
            f'the logits have shape {list(logits.shape)}, but [batch, num_classes] is needed; '
            "metrics='positions' takes several positions for each example"
        )
    return _statistics(logits, labels, teacher, None, where)


def statistics_of_positions(
    logits: jax.Array,
    labels: jax.Array,
    teacher: jax.Array | None = None,
    mask: jax.Array | None = None,
    *,
    where: jax.Array,
    ignore: int | None = None,
) -> dict[str, jax.Array]:
    """Sums over positions, such as pixels or tokens; every position counts alike.

    Args:
      logits: [batch, ..., num_classes].
      labels: integers, [batch, ...].
      teacher: logits, [batch, ..., num_classes]; None leaves agreement and KL out.
      mask: [batch, ...], or [batch] for whole examples; positions with values > 0 count. None counts all.
      where: [batch], False for padding.
      ignore: positions with this label do not count (255 in many segmentation data sets, -100 for tokens).
    Returns:
      as `statistics_of_examples`.
    Raises:
      UserError: the shapes do not fit.
    """
    if ignore is not None:
        kept = labels != ignore
        mask = kept if mask is None else kept & (counted(where, mask, labels.shape) > 0)
        labels = jnp.where(kept, labels, 0)
    return _statistics(logits, labels, teacher, mask, where)


def _statistics(
    logits: jax.Array, labels: jax.Array, teacher: jax.Array | None, mask: jax.Array | None, where: jax.Array
) -> dict[str, jax.Array]:
    if logits.shape[-1] < 2:
        raise UserError("logits of one class are always right; for a regressed number set metrics='regression'")
    check_labels_of_logits(logits, labels)
    weight = counted(where, mask, labels.shape)
    log_q = jax.nn.log_softmax(logits.astype(jnp.float32))
    choice = jnp.argmax(logits, axis=-1)
    confidence = jnp.exp(jnp.max(log_q, axis=-1))
    right = (choice == labels).astype(jnp.float32)
    nll = -jnp.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]
    bins = jnp.clip(jnp.ceil(confidence * ECE_BINS).astype(jnp.int32) - 1, 0, ECE_BINS - 1)
    inside = jax.nn.one_hot(bins, ECE_BINS) * weight[..., None]
    axes = tuple(range(labels.ndim))
    sums = {
        'count': jnp.sum(weight),
        'errors': jnp.sum(weight * (1.0 - right)),
        'nll': weighted_sum(weight, nll),
        'bin_count': jnp.sum(inside, axes),
        'bin_confidence': jnp.sum(inside * confidence[..., None], axes),
        'bin_right': jnp.sum(inside * right[..., None], axes),
    }
    if teacher is not None:
        sums |= compared_with_teacher(log_q, choice, teacher, weight)
    return sums


def classification_values(statistics: Statistics) -> dict[str, float]:
    """Metrics: count, errors, accuracy, nll (nats), ece; agreement and kl (nats) with a teacher.

    The expected calibration error (ece) is that of Guo et al. (2017), equation 3, with 15 equal bins (open below).
    `errors` and `count` are per copy: for ten stacked copies, `errors` is the mean number of errors of one copy.
    Copies have their own bins: an overconfident copy and an underconfident one do not make a calibrated one.
    """
    copies = statistics['count'].shape[1]
    sums = {name: total(array) for name, array in statistics.items()}
    count = max(float(sums['count']), 1.0)
    confidence, right = (np.sum(statistics[name], 0, np.float64) for name in ('bin_confidence', 'bin_right'))
    out = {
        'count': round(count / copies),
        'errors': float(sums['errors']) / copies,
        'accuracy': 1.0 - float(sums['errors']) / count,
        'nll': float(sums['nll']) / count,
        'ece': float(np.abs(confidence - right).sum()) / count,
    }
    return out | {key: float(sums[key]) / count for key in ('agreement', 'kl') if key in sums}


# Fewest errors and highest accuracy are the same.
classification = Metrics(statistics_of_examples, classification_values, STATED, 'errors', {'labels': 'batch.label'})
positions = Metrics(statistics_of_positions, classification_values, STATED, 'accuracy', {'labels': 'batch.label'})
