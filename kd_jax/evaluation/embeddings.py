"""Metrics of embeddings that should be those of a teacher."""

import jax
import numpy as np

from kd_jax.arrays.numerics import unit_length, wide
from kd_jax.config.errors import UserError
from kd_jax.evaluation.metrics import Metric, Metrics, Statistics, ratio

STATED = {
    'count': Metric('count', None),
    'neighbours': Metric('fraction', 'higher'),
    'cosine': Metric('number', 'higher'),
}
NEAREST, AMONG = 10, 2000  # neighbours of an example, among the first examples of the split


def embedding_statistics(embedding: jax.Array, teacher: jax.Array, *, where: jax.Array) -> dict[str, jax.Array]:
    """The embeddings of the examples of a batch, divided by their lengths.

    Args:
      embedding: [batch, dim].
      teacher: [batch, dim'].
      where: [batch], False for padding.
    Raises:
      UserError: they are no vectors.
    """
    for name, array in (('embedding', embedding), ('teacher', teacher)):
        if array.ndim != 2:
            raise UserError(f'the {name} must be [batch, dim], not {list(array.shape)}')
    return {'own': unit_length(wide(embedding)), 'teacher': unit_length(wide(teacher)), 'counts': where}


def embedding_values(statistics: Statistics) -> dict[str, float]:
    """Metrics: count, neighbours, cosine; means over examples.

    cosine is that of an embedding and its teacher's, if both have the same dimension. neighbours is the share of an
    example's ten nearest others, by the cosine, that are also among the teacher's ten nearest; it is computed among the
    first 2,000 examples, and NaN if one of their embeddings is.

    Args:
      statistics: those of `embedding_statistics`, [batches, copies, batch, ...] each.
    """
    copies = statistics['own'].shape[1]
    found = [_of_copy({name: array[:, i] for name, array in statistics.items()}) for i in range(copies)]
    means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    return {'count': int(np.sum(statistics['counts'][:, 0])), **means}


def _of_copy(statistics: Statistics) -> dict[str, float]:
    counts = statistics['counts'].reshape(-1)
    own, teacher = (statistics[name].reshape(len(counts), -1)[counts] for name in ('own', 'teacher'))
    out = {'neighbours': _common_neighbours(own[:AMONG], teacher[:AMONG])}
    if own.shape == teacher.shape:
        out['cosine'] = ratio(np.sum(np.asarray(own, np.float64) * teacher), len(own))
    return out


def _common_neighbours(own: np.ndarray, teacher: np.ndarray) -> float:
    if np.isnan(own).any() or np.isnan(teacher).any():
        return float('nan')  # sorting would give NaN a place among the others
    near, wanted = _nearest(own), _nearest(teacher)
    common = [len(set(a) & set(b)) for a, b in zip(near.tolist(), wanted.tolist(), strict=True)]
    return ratio(sum(common), near.size)


def _nearest(units: np.ndarray) -> np.ndarray:
    """The numbers of the nearest other examples, [examples, at most `NEAREST`]."""
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=-1, kind='stable')[:, : max(0, min(NEAREST, len(units) - 1))]


embeddings = Metrics(embedding_statistics, embedding_values, STATED, 'neighbours')
