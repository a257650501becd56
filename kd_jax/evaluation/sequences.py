"""Metrics of language models: of the tokens that a network predicts at each position of a row."""

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
    weighted_sum,
)

STATED = {
    'count': Metric('count', None),
    'nll': Metric('nats', 'lower'),
    'perplexity': Metric('number', 'lower'),
    'accuracy': Metric('fraction', 'higher'),
    'bits_per_byte': Metric('bits', 'lower'),
    'agreement': Metric('fraction', 'higher'),
    'kl': Metric('nats', 'lower'),
}


def sequence_statistics(
    logits: jax.Array,
    labels: jax.Array,
    mask: jax.Array | None = None,
    teacher: jax.Array | None = None,
    bytes: jax.Array | None = None,
    *,
    where: jax.Array,
) -> dict[str, jax.Array]:
    """Sums over the tokens of each row that count. Rows are added in float64, so no split is too long to be exact.

    Args:
      logits: of the token that is predicted at each position, [batch, length, vocabulary].
      labels: these tokens, integers, [batch, length].
      mask: labels with values > 0 count, [batch, length]; None counts all.
      teacher: logits, [batch, length, vocabulary], for agreement and KL(teacher || student); None leaves these two out.
      bytes: number of bytes of text that each label stands for, [batch, length]; None leaves `bits_per_byte` out.
      where: [batch], False for padding.
    Returns:
      arrays [batch].
    Raises:
      UserError: the shapes do not fit.
    """
    if logits.ndim < 3 or logits.shape[-1] < 2:
        raise UserError(f'the logits have shape {list(logits.shape)}, but [batch, length, vocabulary] is needed')
    check_labels_of_logits(logits, labels)
    if bytes is not None and bytes.shape != labels.shape:
        raise UserError(f'the labels have shape {list(labels.shape)} and their bytes {list(bytes.shape)}')
    weight, axes = counted(where, mask, labels.shape), tuple(range(1, labels.ndim))
    log_q = jax.nn.log_softmax(logits.astype(jnp.float32))
    choice = jnp.argmax(logits, axis=-1)
    nll = -jnp.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]
    sums = {
        'count': jnp.sum(weight, axes),
        'nll': weighted_sum(weight, nll, axes),
        'right': jnp.sum(weight * (choice == labels), axes),
    }
    if bytes is not None:
        sums['bytes'] = jnp.sum(weight * bytes, axes)
    if teacher is not None:
        sums |= compared_with_teacher(log_q, choice, teacher, weight, axes)
    return sums


def sequence_values(statistics: Statistics) -> dict[str, float]:
    """Metrics of tokens: count, nll (nats a token), perplexity, accuracy; bits_per_byte; agreement and kl (nats).

    All are means over the tokens that count in the whole split, not means of rows. Perplexity is exp(nll).
    `bits_per_byte` divides the bits of all tokens that count by the bytes of text that they stand for, so tokenizers
    can be compared; the end of a document costs bits but has no bytes. `count` is the number of tokens. Stacked copies
    are measured one by one, and their means are reported.
    """
    sums = {name: np.sum(array, axis=(0, 2), dtype=np.float64) for name, array in statistics.items()}  # [copies]
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        means = {key: sums[key] / sums['count'] for key in ('nll', 'right', 'agreement', 'kl') if key in sums}
        found = {
            'count': sums['count'],
            'nll': means['nll'],
            'perplexity': np.exp(means['nll']),
            'accuracy': means['right'],
        }
        if 'bytes' in sums:
            found['bits_per_byte'] = sums['nll'] / np.log(2) / sums['bytes']
    found |= {key: means[key] for key in ('agreement', 'kl') if key in means}
    return {
        key: round(float(values.mean())) if key == 'count' else float(values.mean()) for key, values in found.items()
    }


sequences = Metrics(
    sequence_statistics, sequence_values, STATED, 'nll', {'labels': 'batch.label', 'mask': 'batch.mask'}
)
