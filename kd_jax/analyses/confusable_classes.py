"""Finds groups of classes that a network confuses (Hinton et al. 2015, section 5.3)."""

from typing import Any, Literal

import numpy as np

from kd_jax.analyses.predictions import Splits, log_softmax, logits_of
from kd_jax.analyses.units import states_units
from kd_jax.config.errors import UserError

PASSES = 100
STARTS = 10


@states_units(coverage='count')
def confusable_classes(
    logits: Splits,
    *,
    clusters: int,
    size: int,
    split: str = 'valid',
    t: float = 1.0,
    scale: Literal['covariance', 'correlation'] = 'covariance',
    seed: int = 0,
) -> dict[str, Any]:
    """Online K-means on the columns of the covariance matrix of a generalist's predictions.

    Hinton et al. (2015), section 5.3. Each class is a point: its column of the matrix. As in MacQueen (1967), points
    are visited one at a time in random order, and a centre moves as soon as it gains or loses a point. Passes are
    repeated until no point moves. A point moves if that lowers the sum of squares; this weights the squared distance to
    a cluster of n points by n / (n + 1) (Hartigan and Wong, 1979). With unweighted distances the larger cluster wins,
    because its centre is nearer to the origin, and almost all classes of a good generalist end in one cluster. The best
    of ten starts is kept. A specialist then takes the `size` classes nearest to a centre. So subsets have equal sizes,
    may overlap, and may omit a class.

    The diagonal of the matrix (the variance of each class) is kept. Without it, two classes that are confused only with
    each other would have their one large entry in different rows and would be far apart. But the diagonal also
    separates classes of different variance. If a generalist is almost always right, or surer of some classes than of
    others, 'covariance' groups the classes of low variance, whatever they are confused with. Then use 'correlation',
    which divides by the standard deviations of both classes. A temperature above 1 makes weak confusions visible.

    Args:
      logits: the generalist's, [examples, num_classes] for `split`. Labels are not needed.
      clusters: number of subsets.
      size: number of classes in each subset.
      split: the split whose predictions are clustered.
      t: temperature of the predictions; 1 in the paper.
      scale: 'covariance' as in the paper, or 'correlation'.
      seed: seed for the order of the points; equal seeds give equal subsets.
    Returns:
      'subsets': `clusters` sorted lists of `size` classes. 'assignment': the cluster of each class. 'coverage': the
      number of classes that are in 0, 1, ... subsets.
    Raises:
      UserError: malformed logits, more clusters than classes, `size` not below the number of classes, or an unknown
        scale.
    """
    generalist = logits_of(logits, split, 'confusable_classes: logits')
    num_classes = generalist.shape[-1]
    _check_options(clusters, size, t, num_classes)
    columns = _columns(np.exp(log_softmax(generalist / t)), scale)
    rng = np.random.default_rng(seed)
    results = [online_k_means(columns, clusters, rng) for _ in range(STARTS)]
    assignment, centres = min(results, key=lambda r: np.square(columns - r[1][r[0]]).sum())
    distances = np.square(centres[:, None] - columns).sum(axis=-1)
    nearest = np.sort(np.argsort(distances, axis=-1, kind='stable')[:, :size], axis=-1)
    covering = np.bincount(nearest.ravel(), minlength=num_classes)
    return {
        'subsets': nearest.tolist(),
        'assignment': assignment.tolist(),
        'coverage': np.bincount(covering).tolist(),
    }


def _check_options(clusters: int, size: int, t: float, num_classes: int) -> None:
    if not 1 <= clusters <= num_classes:
        raise UserError(
            f'confusable_classes: clusters is {clusters}, but must lie in 1..{num_classes}, the number of classes.'
        )
    if not 1 <= size < num_classes:
        raise UserError(
            f'confusable_classes: size is {size}, but must lie in 1..{num_classes - 1}, fewer than all classes.'
        )
    if t <= 0:
        raise UserError(f'confusable_classes: t is {t:g}, but must be greater than 0.')


def online_k_means(points: np.ndarray, clusters: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Online K-means, repeated until no point moves or PASSES passes are made.

    Args:
      points: [points, dimensions].
      clusters: number of clusters, at most the number of points; the first centres are points drawn at random.
      rng: draws the first centres and a new order of the points for each pass.
    Returns:
      the cluster of each point, [points], and the centres (the mean of each cluster's points), [clusters, dimensions].
    """
    seeds = rng.permutation(len(points))[:clusters]
    assignment = np.full(len(points), -1)
    assignment[seeds] = np.arange(clusters)
    centres, counts = points[seeds].astype(np.float64), np.ones(clusters)
    for _ in range(PASSES):
        moved = False
        for i in rng.permutation(len(points)):
            old = assignment[i]
            if old >= 0 and counts[old] == 1:
                continue
            cost = np.square(centres - points[i]).sum(axis=-1) * counts / (counts + 1)
            if old >= 0:
                cost[old] *= (counts[old] + 1) / (counts[old] - 1)
            new = int(cost.argmin())
            if old >= 0 and cost[new] >= cost[old]:
                continue
            if old >= 0:
                counts[old] -= 1
                centres[old] -= (points[i] - centres[old]) / counts[old]
            counts[new] += 1
            centres[new] += (points[i] - centres[new]) / counts[new]
            assignment[i], moved = new, True
        if not moved:
            break
    return assignment, centres


def _columns(probabilities: np.ndarray, scale: str) -> np.ndarray:
    centred = probabilities - probabilities.mean(axis=0)
    covariance = centred.T @ centred / len(centred)
    if scale == 'covariance':
        return covariance
    if scale == 'correlation':
        deviation = np.sqrt(np.maximum(np.diag(covariance), np.finfo(np.float64).tiny))
        return covariance / np.outer(deviation, deviation)
    raise UserError(f"confusable_classes: scale is {scale!r}, but must be 'covariance' or 'correlation'.")
