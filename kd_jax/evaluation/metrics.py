"""What a family of metrics consists of: statistics of each batch, and numbers made from those of a whole split."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.arrays.numerics import divergence_terms
from kd_jax.config.errors import UserError
from kd_jax.config.import_by_name import parameters_of

Statistics = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a number is.

    Attributes:
      unit: 'count', 'fraction' (shown in percent), 'nats', 'number' (no unit), or the name of any other unit.
      better: 'lower' or 'higher', whichever is better; None for a number that does not judge a network.
    """

    unit: str
    better: Literal['lower', 'higher'] | None


@dataclasses.dataclass(frozen=True)
class Metrics:
    """A family of metrics that are computed from the same arrays.

    The statistics of all batches of a split are collected and turned into numbers at the end. So metrics that are
    not means (r2, average precision) are exact, too. Batch size, padding, devices and stacked copies do not change
    them.

    Attributes:
      statistics: pure function from the arrays of one batch to a dictionary of arrays. Its positional parameters are
        paths in a config; those with a default are optional. Its keyword-only parameters are options, except `where`: a
        mask [batch], False for padding. It runs inside `jit`, and once for each stacked copy. It raises a UserError if
        shapes do not fit.
      values: function from the statistics of a whole split, [batches, copies, ...] each, to metrics by name. Its
        keyword-only parameters are options, too. An undefined number is NaN.
      stated: each name that `values` may return -> its unit and direction.
      best: the metric that chooses the best epoch, unless the config names another.
      defaults: the paths of parameters that a config need not name.
    """

    statistics: Callable[..., Mapping[str, jax.Array]]
    values: Callable[..., dict[str, float]]
    stated: Mapping[str, Metric]
    best: str
    defaults: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __call__(self, *arrays: Any, **options: Any) -> dict[str, float]:
        """Returns the metrics of arrays that hold all examples; arguments as those of `statistics` and `values`."""
        late = {key: options.pop(key) for key in parameters_of(self.values)[1] if key in options}
        statistics = jax.jit(functools.partial(self.statistics, **options))
        found = statistics(*arrays, where=np.ones(len(arrays[0]), bool))
        return self.values({name: np.asarray(array)[None, None] for name, array in found.items()}, **late)


def counted(where: jax.Array, mask: jax.Array | None, shape: tuple[int, ...]) -> jax.Array:
    """1 for each value that counts, 0 for the others; float32 of the given shape, [batch, ...].

    Args:
      where: [batch], False for padding.
      mask: values > 0 count. Its axes are the first axes of `shape`. None counts everything.
      shape: of the values.
    Raises:
      UserError: the mask does not fit.
    """
    counts = jnp.broadcast_to(_with_axes(where, len(shape)), shape)
    if mask is not None:
        if mask.shape != shape[: mask.ndim]:
            raise UserError(f'the mask has shape {list(mask.shape)}, but the values have {list(shape)}')
        counts = counts & (_with_axes(mask, len(shape)) > 0)
    return counts.astype(jnp.float32)


def _with_axes(array: jax.Array, axes: int) -> jax.Array:
    return array.reshape(array.shape + (1,) * (axes - array.ndim))


def weighted_sum(weight: jax.Array, values: jax.Array, axes: tuple[int, ...] | None = None) -> jax.Array:
    """The sum of the values that count; a value that does not count may be NaN."""
    return jnp.sum(jnp.where(weight > 0, values, 0.0), axes)


def check_labels_of_logits(logits: jax.Array, labels: jax.Array) -> None:
    """Raises a UserError unless the labels are integers, one for the logits [..., num_classes] of each place."""
    if labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UserError(
            f'the labels must be whole numbers of shape {list(logits.shape[:-1])}, not {labels.dtype} '
            f'{list(labels.shape)}'
        )


def compared_with_teacher(
    log_q: jax.Array, choice: jax.Array, teacher: jax.Array, weight: jax.Array, axes: tuple[int, ...] | None = None
) -> dict[str, jax.Array]:
    """The sums of agreement and of KL(teacher || student) over the places that count.

    Args:
      log_q: log-probabilities of the student, [..., num_classes].
      choice: its most probable classes, [...].
      teacher: logits, [..., num_classes].
      weight: 1 for places that count, 0 for others, [...].
      axes: the axes of places to sum over; None for all.
    Raises:
      UserError: the shapes of student and teacher differ.
    """
    if teacher.shape != log_q.shape:
        raise UserError(f'the logits have shape {list(log_q.shape)} and the teacher {list(teacher.shape)}')
    log_p = jax.nn.log_softmax(teacher.astype(jnp.float32))
    return {
        'agreement': jnp.sum(weight * (choice == jnp.argmax(log_p, axis=-1)), axes),
        'kl': weighted_sum(weight, jnp.sum(divergence_terms(log_p, log_q), axis=-1), axes),
    }


def total(array: np.ndarray) -> np.ndarray:
    """The sum of a statistic over batches and copies, in float64: [batches, copies, ...] -> [...]."""
    return np.asarray(np.sum(array, axis=(0, 1), dtype=np.float64))


def ratio(numerator: Any, denominator: Any) -> float:
    """The quotient of two numbers; NaN if the denominator is 0."""
    return float(numerator) / float(denominator) if denominator else float('nan')
