"""Losses on features: activations of a student's layer against those of a teacher's, one value an example.

Maps are [..., height, width, channels]. Where student and teacher differ in size, a connector (`models/connectors.py`),
a network of its own, comes between them.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.arrays.numerics import channels, norm, product, scaled, unit, wide
from kd_jax.config.hyperparameters import NonNegative
from kd_jax.losses.masks import Mask, valid
from kd_jax.losses.shape_checks import check_alike, check_maps, check_space

Form = Literal['code', 'paper']


def cosine(student: jax.Array, target: jax.Array) -> jax.Array:
    """1 minus the cosine along the last axis, as DistilBERT has for hidden states (Sanh et al. 2019, section 3).

    Args:
      student: [..., dim].
      target: [..., dim].
    Returns:
      [...], in [0, 2].
    Raises:
      UserError: shapes that differ.
    """
    check_alike(student, target)
    return 1.0 - jnp.sum(unit(wide(student)) * unit(wide(target)), axis=-1)


def attention_transfer(student: jax.Array, target: jax.Array, *, power: int = 2, form: Form = 'code') -> jax.Array:
    """Distance between the attention maps of a layer (AT).

    Zagoruyko & Komodakis (2017), equation 2: the map is the sum over channels of |x|^power, flattened, over its L2
    norm. 'paper' is the L2 norm of the difference, 'code' (which the usual weight of 1000 belongs to) the mean of its
    squares.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels'].
      power: of the sizes of activations.
      form: 'code' or 'paper'.
    Returns:
      [...].
    Raises:
      UserError: heights or widths that differ.
    """
    check_space(student, target)

    def attention(array):
        sizes = jnp.abs(scaled(wide(array), axis=(-3, -2, -1))) ** power
        return unit(jnp.sum(sizes, axis=-1).reshape(*array.shape[:-3], -1))

    difference = attention(student) - attention(target)
    return jnp.mean(jnp.square(difference), axis=-1) if form == 'code' else norm(difference)


def nst(student: jax.Array, target: jax.Array, *, kernel: Literal['polynomial', 'linear'] = 'polynomial') -> jax.Array:
    """Squared maximum mean discrepancy between the channels of a layer (neuron selectivity transfer).

    Huang & Wang (2017), section 4: a channel is its map, flattened, over its L2 norm. The polynomial kernel is
    (x . y)^2, the linear one x . y; with the latter the loss is the squared distance of the mean channels.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels'].
      kernel: 'polynomial' or 'linear'.
    Returns:
      [...].
    Raises:
      UserError: heights or widths that differ.
    """
    check_space(student, target)
    x, y = (unit(channels(array)) for array in (student, target))

    def average(a, b):
        k = product(a, b)
        return jnp.mean(jnp.square(k) if kernel == 'polynomial' else k, axis=(-2, -1))

    return average(x, x) + average(y, y) - 2.0 * average(x, y)


def factor_transfer(student: jax.Array, target: jax.Array, *, form: Form = 'code') -> jax.Array:
    """L1 distance between normalised factors (FT).

    Kim et al. (2018), section 3.3, p = 1: `target` is a paraphraser's factor of the teacher's map, `student` a
    translator's of the student's. 'paper' flattens a factor, divides it by its L2 norm and sums |difference|; 'code'
    (which the usual weight of 200 belongs to) first averages the squares over channels and then takes the mean.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels]; for 'code' the channels may differ.
      form: 'code' or 'paper'.
    Returns:
      [...].
    Raises:
      UserError: shapes that differ.
    """
    if form == 'code':
        check_space(student, target)
    else:
        check_maps(student, target)
        check_alike(student, target)

    def factor(array):
        x = scaled(wide(array), axis=(-3, -2, -1))
        x = jnp.mean(jnp.square(x), axis=-1) if form == 'code' else x
        return unit(x.reshape(*array.shape[:-3], -1))

    difference = jnp.abs(factor(student) - factor(target))
    return jnp.mean(difference, axis=-1) if form == 'code' else jnp.sum(difference, axis=-1)


def activation_boundaries(student: jax.Array, target: jax.Array, *, margin: NonNegative = 1.0) -> jax.Array:
    """Squared distance by which a student's neuron falls short of the teacher's side of its boundary (AB).

    Heo et al. (2019, AAAI), the alternative loss: where the teacher's neuron is active (> 0) the student's response
    before the activation should exceed `margin`, elsewhere it should be below -margin. The sum over neurons, as in the
    paper; the published code multiplies it by 0.003. Only signs of the teacher's map count, so it may be taken before
    or after a ReLU.

    Args:
      student: before the activation, [..., height, width, channels].
      target: [..., height, width, channels].
      margin: of the student's response.
    Returns:
      [...].
    Raises:
      UserError: shapes that differ.
    """
    check_maps(student, target)
    check_alike(student, target)
    short = jnp.where(target > 0, margin - wide(student), margin + wide(student))
    return jnp.sum(jnp.square(jnp.maximum(short, 0.0)), axis=(-3, -2, -1))


def ofd(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """Partial squared distance to a teacher's map before its ReLU, through a margin ReLU (overhaul, OFD).

    Heo et al. (2019, ICCV), section 3: the target is max(x, m) with a channel's margin m the mean of its
    negative responses, here over the batch (the paper's other way, from batch-normalisation parameters, supposes
    normal responses). Where the target is not positive, a student below it costs nothing. The sum over neurons, as in
    the paper; the published code divides it by 1000. A teacher's map after a ReLU has margin 0.

    Args:
      student: [batch, height, width, channels].
      target: before the activation, [batch, height, width, channels].
      where: [batch], which examples the margins are taken over.
    Returns:
      [batch].
    Raises:
      UserError: shapes that differ.
    """
    check_maps(student, target)
    check_alike(student, target)
    x, y = wide(student), wide(target)
    negative = (y < 0) * valid(target, where)[:, None, None, None]
    count = jnp.sum(negative, axis=(0, 1, 2))
    margin = jnp.sum(jnp.where(negative > 0, y, 0.0), axis=(0, 1, 2)) / jnp.where(count > 0, count, 1.0)
    y = jnp.maximum(y, margin)
    costs = (y > 0) | (x > y)
    return jnp.sum(jnp.where(costs, jnp.square(x - y), 0.0), axis=(1, 2, 3))


def vid(mean: jax.Array, variance: jax.Array, target: jax.Array) -> jax.Array:
    """Negative log-likelihood of the teacher's activations under a Gaussian that the student predicts (VID).

    Ahn et al. (2019), section 2, without the constant log(2 pi) / 2: a connector gives the mean, and a trained
    variance for each channel (model 'variational').

    Args:
      mean: [..., channels].
      variance: [..., channels], positive.
      target: [..., channels].
    Returns:
      nats per unit, averaged over channels, [...].
    Raises:
      UserError: shapes that differ.
    """
    check_alike(mean, target)
    mean, variance, target = wide(mean), wide(variance), wide(target)
    return jnp.mean(0.5 * (jnp.log(variance) + jnp.square(target - mean) / variance), axis=-1)


def hierarchical_context(student: jax.Array, target: jax.Array) -> jax.Array:
    """Squared distance at several scales of a map: ReviewKD's hierarchical context loss.

    Chen et al. (2021), section 3, with the published code's levels: the mean squared difference of the maps, and of
    the maps average-pooled to 4, 2 and 1 (those smaller than the map), weighted 1, 1/2, 1/4, 1/8 over their sum.

    Args:
      student: [..., height, width, channels].
      target: [..., height, width, channels].
    Returns:
      [...].
    Raises:
      UserError: shapes that differ.
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
    """Means over size x size bins that cover the map, which overlap where they do not divide it."""

    def bins(length):
        weights = np.zeros((size, length), np.float32)
        for i in range(size):
            first, end = i * length // size, -(-(i + 1) * length // size)
            weights[i, first:end] = 1.0 / (end - first)
        return weights

    height, width = maps.shape[-3:-1]
    return jnp.einsum('ah,bw,...hwc->...abc', bins(height), bins(width), maps)
