"""Classification metrics, kept as sums that add up exactly over batches and hosts."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ECE_BINS = 15


def classification_sums(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, teacher: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Sums over the unmasked examples; `classification_rates` turns them into metrics.

    Args:
      logits: [batch, num_classes], or [copies, batch, num_classes]; each copy then counts as separate examples.
      labels: integers, [batch].
      mask: booleans, [batch]; False leaves an example out.
      teacher: logits for agreement and KL(teacher || student), of the shape of `logits` or broadcastable to it; None
        leaves these two metrics out.
    Returns:
      scalars, and three arrays [ECE_BINS] of the calibration histogram.
    """
    labels = jnp.broadcast_to(labels, logits.shape[:-1])
    weight = jnp.broadcast_to(mask, logits.shape[:-1]).astype(jnp.float32)
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
        'nll': jnp.sum(jnp.where(weight > 0, nll, 0.0)),
        'bin_count': jnp.sum(inside, axes),
        'bin_confidence': jnp.sum(inside * confidence[..., None], axes),
        'bin_right': jnp.sum(inside * right[..., None], axes),
    }
    if teacher is not None:
        log_p = jnp.broadcast_to(jax.nn.log_softmax(teacher.astype(jnp.float32)), log_q.shape)
        kl = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
        sums['agreement'] = jnp.sum(weight * (choice == jnp.argmax(log_p, axis=-1)))
        sums['kl'] = jnp.sum(jnp.where(weight > 0, kl, 0.0))
    return sums


def classification_rates(sums: Mapping[str, Any], copies: int = 1) -> dict[str, float]:
    """Metrics from `classification_sums`: count, errors, accuracy, nll (nats), ece; agreement and kl with a teacher.

    The expected calibration error (ece) is that of Guo et al. (2017), equation 3, with 15 equal bins (open below).
    `errors` and `count` are per copy: for ten stacked networks, `errors` is the mean number of errors of one network.
    """
    count = max(float(sums['count']), 1.0)
    gaps = np.abs(np.asarray(sums['bin_confidence'], np.float64) - np.asarray(sums['bin_right'], np.float64))
    out = {
        'count': round(count / copies),
        'errors': float(sums['errors']) / copies,
        'accuracy': 1.0 - float(sums['errors']) / count,
        'nll': float(sums['nll']) / count,
        'ece': float(gaps.sum()) / count,
    }
    return out | {key: float(sums[key]) / count for key in ('agreement', 'kl') if key in sums}
