"""Metrics of networks that give each example any number of labels."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.evaluation.metrics import Metric, Metrics, Statistics, counted, ratio, total, weighted_sum

STATED = {
    'count': Metric('count', None),
    'average_precision': Metric('fraction', 'higher'),
    'accuracy': Metric('fraction', 'higher'),
    'bce': Metric('nats', 'lower'),
}


def multi_label_statistics(
    logits: jax.Array,
    target: jax.Array,
    mask: jax.Array | None = None,
    *,
    where: jax.Array,
    threshold: float = 0.0,
) -> dict[str, jax.Array]:
    """Sums over pairs of an example and a label, and the scores that average precision needs.

    Args:
      logits: [batch, labels]; the sigmoid of a logit is the probability of the label.
      target: 1 for the labels of an example, else 0; [batch, labels].
      mask: [batch, labels] or [batch]; pairs with values > 0 count. None counts all.
      where: [batch], False for padding.
      threshold: logits above it predict the label; 0 is a probability of one half.
    Returns:
      scalars, and three arrays [batch, labels]: scores, truth, and which of them count.
    Raises:
      UserError: the shapes do not fit.
    """
    if logits.ndim != 2 or target.shape != logits.shape:
        raise UserError(
            f'logits and target must both be [batch, labels], not {list(logits.shape)} and {list(target.shape)}'
        )
    weight = counted(where, mask, logits.shape)
    scores, true = logits.astype(jnp.float32), target > 0
    bce = jax.nn.softplus(jnp.where(true, -scores, scores))
    return {
        'count': jnp.sum(jnp.max(weight, -1)),
        'pairs': jnp.sum(weight),
        'right': jnp.sum(weight * ((scores > threshold) == true)),
        'bce': weighted_sum(weight, bce),
        'scores': scores,
        'true': true,
        'counts': weight > 0,
    }


def multi_label_values(statistics: Statistics, *, average: Literal['labels', 'pairs'] = 'labels') -> dict[str, float]:
    """Metrics: count, average_precision, accuracy, bce (nats).

    Accuracy and binary cross-entropy (bce) are means over all pairs of an example and a label. A score that is NaN
    makes the average precision NaN, so that no mean over the other labels looks good.

    Args:
      statistics: those of `multi_label_statistics`, [batches, copies, ...] each.
      average: 'labels' is the mean of the average precision of each label that some example has (mean average
        precision, macro); 'pairs' ranks the pairs of all labels together (micro). Stacked copies are averaged.
    """
    copies, labels = statistics['scores'].shape[1], statistics['scores'].shape[-1]
    parts = {name: np.moveaxis(statistics[name], 1, 0).reshape(copies, -1, labels) for name in KEPT}
    if average == 'pairs':
        parts = {name: array.reshape(copies, -1, 1) for name, array in parts.items()}
    found = [
        average_precision(parts['scores'][i, :, k][counts], parts['true'][i, :, k][counts])
        for i in range(copies)
        for k in range(parts['scores'].shape[-1])
        for counts in [parts['counts'][i, :, k]]
        if parts['true'][i, :, k][counts].any()
    ]
    pairs = total(statistics['pairs'])
    return {
        'count': round(float(total(statistics['count'])) / copies),
        'average_precision': ratio(sum(found), len(found)),
        'accuracy': ratio(total(statistics['right']), pairs),
        'bce': ratio(total(statistics['bce']), pairs),
    }


KEPT = ('scores', 'true', 'counts')


def average_precision(scores: np.ndarray, true: np.ndarray) -> float:
    """Sum over thresholds of precision times the gain in recall; NaN without a positive or with a score that is NaN.

    Each distinct score is one threshold, so the order of equal scores does not matter. There is no interpolation.

    Args:
      scores: [examples].
      true: booleans, [examples].
    """
    if not true.any() or np.isnan(scores).any():
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(scores) - 1)  # the difference of infinities is NaN
    hits = np.cumsum(true[order])[ends]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (ends + 1)) / hits[-1])


multi_label = Metrics(multi_label_statistics, multi_label_values, STATED, 'average_precision')
