"""Relations between the examples of a batch."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from kd_jax.arrays.numerics import mean, product, scaled, unit
from kd_jax.config.hyperparameters import NonNegative
from kd_jax.losses.masks import Mask, pairs, rows, valid
from kd_jax.losses.shape_checks import check_batch


def rkd_distance(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """Huber loss between the pairwise distances of the two batches, each over its own mean.

    Park et al. (2019), section 3.2.1. The mean distance is taken over pairs with a positive distance, so duplicates
    do not stretch the rest. The loss is the mean over ordered pairs of different examples; the published code also
    averages over the diagonal, which is a factor of 1 - 1 / batch.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      where: [batch], which examples count.
    Returns:
      one value.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    counts = valid(student, where)
    both = pairs(counts, diagonal=False)

    def relative(array):
        distance = _distances(_centred(rows(array, where), counts), both)
        average = mean(distance, both * (distance > 0))
        return distance / jnp.where(average > 0, average, 1.0)

    return mean(optax.losses.huber_loss(relative(student), relative(target)), both)


def rkd_angle(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """Huber loss between the cosines of the angles that triples of examples form.

    Park et al. (2019), section 3.2.2: the angle at example j between i and k. The loss is the mean over ordered
    triples of different examples; an angle at a duplicate has cosine 0. The published code averages over all batch^3
    triples, those with repeated examples too.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      where: [batch], which examples count.
    Returns:
      one value.
    Raises:
      UserError: fewer than 3 examples.
    """
    check_batch(student, target, least=3)
    counts = valid(student, where)
    both = pairs(counts, diagonal=False)
    triples = both[:, :, None] * both[None, :, :] * both[:, None, :]

    def cosines(array):
        x = _centred(rows(array, where), counts)
        gram, distance = product(x, x), _distances(x, both)
        inverse = jnp.where(distance > 0, 1.0 / jnp.where(distance > 0, distance, 1.0), 0.0)
        # <x_i - x_j, x_k - x_j> at [i, j, k].
        dots = gram[:, None, :] - gram[:, :, None] - gram[None, :, :] + jnp.diagonal(gram)[None, :, None]
        return dots * inverse[:, :, None] * inverse[None, :, :]

    return mean(optax.losses.huber_loss(cosines(student), cosines(target)), triples)


def similarity_preserving(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """Squared distance between the similarity matrices of the two batches, over batch^2 (SP).

    Tung & Mori (2019), section 3: G = A A^T of the flattened activations, each row over its L2 norm (L1 in
    some copies; the paper says L2), then the squared Frobenius norm of the difference over batch^2.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      where: [batch], which examples count.
    Returns:
      one value.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    x, y = (scaled(rows(array, where)) for array in (student, target))
    return mean(jnp.square(unit(product(x, x)) - unit(product(y, y))), pairs(valid(student, where)))


def correlation_congruence(
    student: jax.Array, target: jax.Array, *, gamma: NonNegative = 0.4, order: int = 2, where: Mask = None
) -> jax.Array:
    """Squared distance between the kernel matrices of the two batches, over batch^2 (CC).

    Peng et al. (2019), section 3: a Gaussian kernel of L2-normalised embeddings, exp(-gamma |x - y|^2), by
    its Taylor series up to `order`. The widely copied form that multiplies consecutive rows of a batch depends on
    their order and is not offered.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      gamma: of the kernel.
      order: of the Taylor series (the paper takes 2); 0 for the kernel itself.
      where: [batch], which examples count.
    Returns:
      one value.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)

    def kernel(array):
        x = unit(rows(array, where))
        exponent = 2.0 * gamma * product(x, x)
        if not order:
            return jnp.exp(exponent - 2.0 * gamma)
        total = power = jnp.ones_like(exponent)
        for p in range(1, order + 1):
            power = power * exponent / p
            total = total + power
        return jnp.exp(-2.0 * gamma) * total

    return mean(jnp.square(kernel(student) - kernel(target)), pairs(valid(student, where)))


def pkt(
    student: jax.Array, target: jax.Array, *, form: Literal['code', 'paper'] = 'code', where: Mask = None
) -> jax.Array:
    """Divergence between the conditional probabilities that each example's neighbours have (PKT).

    Passalis & Tefas (2018), section 3: cosine kernels (1 + cos) / 2, each row normalised to a distribution,
    and KL(teacher || student). 'paper' leaves an example's similarity to itself out, sums over the others and averages
    over examples; 'code', which the usual weight of 30000 belongs to, keeps it and takes the mean over batch^2.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      form: 'code' or 'paper'.
      where: [batch], which examples count.
    Returns:
      one value.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    counts = valid(student, where)
    both = pairs(counts, diagonal=form == 'code')

    def log_conditional(array):
        x = unit(rows(array, where))
        # Opposite vectors have no similarity at all: a floor keeps its logarithm finite.
        kernel = jnp.maximum((1.0 + product(x, x)) / 2.0, 1e-7) * both
        total = jnp.sum(kernel, axis=1, keepdims=True)
        return jnp.log(jnp.where(both > 0, kernel, 1.0)) - jnp.log(jnp.where(total > 0, total, 1.0))

    log_p, log_q = log_conditional(target), log_conditional(student)
    divergence = jnp.exp(log_p) * (log_p - log_q)
    if form == 'code':
        return mean(divergence, both)
    return mean(jnp.sum(divergence * both, axis=1), counts)


def cka(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """1 minus the linear centred kernel alignment of the two batches.

    Kornblith et al. (2019), section 3: <K, L> / (|K| |L|) of the centred Gram matrices. It does not change when
    either side is rotated or scaled. Of a batch smaller than the dimension the estimate is biased upwards.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      where: [batch], which examples count.
    Returns:
      one value in [0, 1].
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    counts = valid(student, where)

    def direction(array):
        x = scaled(_centred(rows(array, where), counts))
        return unit(product(x, x), axis=(0, 1))

    return 1.0 - jnp.sum(direction(student) * direction(target))


def _centred(x: jax.Array, counts: jax.Array) -> jax.Array:
    """Rows that count minus their mean, at a scale whose squares do not overflow; zeros for the others."""
    x = scaled(x)
    total = jnp.sum(counts)
    return (x - jnp.sum(x, axis=0) / jnp.where(total > 0, total, 1.0)) * counts[:, None]


def _distances(x: jax.Array, both: jax.Array) -> jax.Array:
    """Euclidean distances of rows, [batch, batch], 0 where rounding cannot tell them from duplicates."""
    gram = product(x, x)
    sizes = jnp.diagonal(gram)
    sizes = sizes[:, None] + sizes[None, :]
    squared = sizes - 2.0 * gram
    apart = (squared > 16 * jnp.finfo(x.dtype).eps * sizes) & (both > 0)
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0)
