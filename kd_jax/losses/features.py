"""Losses on features: a layer of the student against a layer of the teacher, one value per example.

Feature maps are [..., height, width, channels]. If student and teacher have different sizes, put a connector (a network
in `kd_jax/models/connectors.py`) between them.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.arrays.numerics import channels, keep_nan, norm, product, scaled, unit_length, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, NonNegative
from kd_jax.losses.masks import Mask, valid
from kd_jax.losses.shape_checks import check_alike, check_maps, check_space

Form = Literal['code', 'paper']


def cosine(student: jax.Array, target: jax.Array) -> jax.Array:
    """1 minus the cosine along the last axis, as in DistilBERT for hidden states (Sanh et al. 2019, section 3).

    Args:
      student: [..., dim].
      target: [..., dim].
    Returns:
      [...], in [0, 2].
    Raises:
      UserError: different shapes.
    """
    check_alike(student, target)
    return 1.0 - jnp.sum(unit_length(wide(student)) * unit_length(wide(target)), axis=-1)


def attention_transfer(student: jax.Array, target: jax.Array, *, power: Count = 2, form: Form = 'code') -> jax.Array:
    """Distance between the attention maps of a layer (AT).

    Zagoruyko & Komodakis (2017), equation 2. An attention map is the sum over channels of |x|^power, flattened and
    divided by its L2 norm. 'paper' is the L2 norm of the difference; 'code' is the mean of its squares, with a usual
    weight of 1000.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels'].
      power: exponent of the absolute activations.
      form: 'code' or 'paper'.
    Returns:
      [...].
    Raises:
      UserError: different heights or widths.
    """
    check_space(student, target)

    def attention(array):
        sizes = jnp.abs(scaled(wide(array), axis=(-3, -2, -1))) ** power
        return unit_length(jnp.sum(sizes, axis=-1).reshape(*array.shape[:-3], -1))

    difference = attention(student) - attention(target)
    return jnp.mean(jnp.square(difference), axis=-1) if form == 'code' else norm(difference)


def nst(student: jax.Array, target: jax.Array, *, kernel: Literal['polynomial', 'linear'] = 'polynomial') -> jax.Array:
    """Squared maximum mean discrepancy between the channels of a layer (neuron selectivity transfer).

    Huang & Wang (2017), section 4. Each channel's map is flattened and divided by its L2 norm. The polynomial kernel is
    (x . y)^2, the linear kernel x . y. With the linear kernel the loss is the squared distance of the mean channels.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels'].
      kernel: 'polynomial' or 'linear'.
    Returns:
      [...].
    Raises:
      UserError: different heights or widths.
    """
    check_space(student, target)
    x, y = (unit_length(channels(array)) for array in (student, target))

    def average(a, b):
        k = product(a, b)
        return jnp.mean(jnp.square(k) if kernel == 'polynomial' else k, axis=(-2, -1))

    return average(x, x) + average(y, y) - 2.0 * average(x, y)


def factor_transfer(
    student: jax.Array, target: jax.Array, *, form: Literal['repdistiller', 'authors', 'paper'] = 'repdistiller'
) -> jax.Array:
    """L1 distance between normalised factors (FT).

    Kim et al. (2018), section 3.3, p = 1. `target` is the factor that a paraphraser computes from the teacher's map;
    `student` is the factor that a translator computes from the student's map. 'paper' flattens a factor, divides it by
    its L2 norm and sums |difference|. 'authors', the code published with the paper, takes the mean of |difference|
    instead. 'repdistiller' (usual weight 200), a reimplementation by Tian et al. (2020), first averages the squares
    over channels, and takes the mean of |difference| over positions.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels]; the channels may differ if form='repdistiller'.
      form: 'repdistiller', 'authors' or 'paper'.
    Returns:
      [...].
    Raises:
      UserError: different shapes.
    """
    if form == 'repdistiller':
        check_space(student, target)
    else:
        check_maps(student, target)
        check_alike(student, target)

    def factor(array):
        x = scaled(wide(array), axis=(-3, -2, -1))
        x = jnp.mean(jnp.square(x), axis=-1) if form == 'repdistiller' else x
        return unit_length(x.reshape(*array.shape[:-3], -1))

    difference = jnp.abs(factor(student) - factor(target))
    return jnp.sum(difference, axis=-1) if form == 'paper' else jnp.mean(difference, axis=-1)


def activation_boundaries(student: jax.Array, target: jax.Array, *, margin: NonNegative = 1.0) -> jax.Array:
    """Squared distance of the student's neurons from the teacher's side of the activation boundary (AB).

    Heo et al. (2019, AAAI), the alternative loss. If the teacher's neuron is active (> 0), the student's response
    before the activation should be at least `margin`; otherwise at most -margin. The loss is the sum over neurons, as
    in the paper; the published code multiplies it by 0.003. Only the signs of the teacher's map matter, so it may be
    read before or after a ReLU.

    Args:
      student: before the activation, [..., height, width, channels].
      target: [..., height, width, channels].
      margin: required distance of the student's response from 0.
    Returns:
      [...].
    Raises:
      UserError: different shapes.
    """
    check_maps(student, target)
    check_alike(student, target)
    short = jnp.where(target > 0, margin - wide(student), margin + wide(student))
    return jnp.sum(keep_nan(jnp.square(jnp.maximum(short, 0.0)), short, target), axis=(-3, -2, -1))


def ofd(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """Partial squared distance to the teacher's map before its ReLU, with a margin ReLU (OFD).

    Heo et al. (2019, ICCV), section 3. The target is max(x, m), where the margin m of a channel is the mean of its
    negative responses over the batch. (The paper also computes m from the batch-norm parameters, assuming normally
    distributed responses.) Where the target is not positive, a student below it costs nothing. The loss is the sum over
    neurons, as in the paper; the published code divides it by 1000. A teacher's map after a ReLU has margin 0.

    Args:
      student: [batch, height, width, channels].
      target: before the activation, [batch, height, width, channels].
      where: mask, [batch]; > 0 for the examples that count in the margins.
    Returns:
      [batch].
    Raises:
      UserError: different shapes, or several teachers.
    """
    check_maps(student, target)
    if student.ndim != 4 or target.ndim != 4:
        raise UserError(
            f'ofd compares two maps [batch, height, width, channels], not {list(student.shape)} and '
            f'{list(target.shape)}: with several teachers, write a term for each'
        )
    check_alike(student, target)
    x, y = wide(student), wide(target)
    negative = (y < 0) * valid(target, where)[:, None, None, None]
    count = jnp.sum(negative, axis=(0, 1, 2))
    margin = jnp.sum(jnp.where(negative > 0, y, 0.0), axis=(0, 1, 2)) / jnp.where(count > 0, count, 1.0)
    y = keep_nan(jnp.maximum(y, margin), y)
    costs = ~((y <= 0) & (x <= y))
    return jnp.sum(jnp.where(costs, jnp.square(x - y), 0.0), axis=(1, 2, 3))


def vid(mean: jax.Array, variance: jax.Array, target: jax.Array) -> jax.Array:
    """Negative log-likelihood of the teacher's activations under a Gaussian that a connector predicts (VID).

    Ahn et al. (2019), section 2, without the constant log(2 pi) / 2. The model 'variational' gives the mean and a
    trained variance for each channel.

    Args:
      mean: [..., channels].
      variance: [..., channels], positive.
      target: [..., channels].
    Returns:
      nats, averaged over channels, [...].
    Raises:
      UserError: different shapes.
    """
    check_alike(mean, target)
    mean, variance, target = wide(mean), wide(variance), wide(target)
    return jnp.mean(0.5 * (jnp.log(variance) + jnp.square(target - mean) / variance), axis=-1)


def hierarchical_context(student: jax.Array, target: jax.Array) -> jax.Array:
    """Squared distance between maps at several scales: the hierarchical context loss of ReviewKD.

    Chen et al. (2021), section 3, with the scales of the published code. The loss is a weighted average of mean squared
    differences: of the maps themselves (weight 1), and of the maps average-pooled to 4 x 4, 2 x 2 and 1 x 1. Scales
    that are not smaller than the map are skipped; each scale has half the weight of the one before it.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels].
    Returns:
      [...].
    Raises:
      UserError: different shapes.
    """
    check_maps(student, target)
    check_alike(student, target)
    difference = wide(student) - wide(target)
    total, weights, weight = _mean_square(difference), 1.0, 1.0
    for size in (4, 2, 1):
        if size < difference.shape[-3]:
            weight /= 2.0
            total += weight * _mean_square(_average_pooled(difference, size))
            weights += weight
    return total / weights


def _mean_square(maps: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(maps), axis=(-3, -2, -1))


def _average_pooled(maps: jax.Array, size: int) -> jax.Array:
    """Means over size x size bins that cover the map; bins overlap if `size` does not divide it."""

    def bins(length):
        weights = np.zeros((size, length), np.float32)
        for i in range(size):
            first, end = i * length // size, -(-(i + 1) * length // size)
            weights[i, first:end] = 1.0 / (end - first)
        return weights

    height, width = maps.shape[-3:-1]
    return jnp.einsum('ah,bw,...hwc->...abc', bins(height), bins(width), maps)
