"""Losses on relations between the examples of a batch."""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax

from kd_jax.arrays.numerics import centred, keep_nan, mean, product, scaled, unit_length
from kd_jax.config.hyperparameters import NonNegative
from kd_jax.losses.masks import Mask, pair_mask, rows, valid
from kd_jax.losses.shape_checks import check_batch

Form = Literal['code', 'paper']
Order = Annotated[int, 'must not be negative', lambda order: order >= 0]


def rkd_distance(student: jax.Array, target: jax.Array, *, form: Form = 'paper', where: Mask = None) -> jax.Array:
    """Huber loss between the pairwise distances of student and teacher, each divided by its mean.

    Park et al. (2019), section 3.2.1. The mean distance is taken over pairs with a positive distance, so duplicates do
    not change the scale. With 'paper' the loss is the mean over ordered pairs of different examples. With 'code' it is
    the mean over all pairs, as in the published code, which multiplies it by 1 - 1 / batch.

    In float32, two examples count as duplicates if they are closer than 0.14% of the root of the sum of their squared
    distances from the mean of the batch; distances a little above that are rough.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      form: 'paper' or 'code'.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    counts = valid(student, where)
    both = pair_mask(counts, diagonal=False)

    def relative(array):
        distance = _distances(_centred(rows(array, where), counts), both)
        average = mean(distance, both * (distance > 0))
        return distance / jnp.where(average > 0, average, 1.0)

    return _over_tuples(optax.losses.huber_loss(relative(student), relative(target)), both, counts, form)


def rkd_angle(student: jax.Array, target: jax.Array, *, form: Form = 'paper', where: Mask = None) -> jax.Array:
    """Huber loss between the cosines of the angles that triples of examples form.

    Park et al. (2019), section 3.2.2: the angle at example j between i and k. If j is a duplicate of i or k (see
    `rkd_distance`), the cosine is 0. With 'paper' the loss is the mean over ordered triples of different examples. With
    'code' it is the mean over all batch^3 triples, as in the published code, which multiplies it by (1 - 1 / batch)
    (1 - 2 / batch).

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      form: 'paper' or 'code'.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch.
    Raises:
      UserError: fewer than 3 examples.
    """
    check_batch(student, target, least=3)
    counts = valid(student, where)
    both = pair_mask(counts, diagonal=False)
    triples = both[:, :, None] * both[None, :, :] * both[:, None, :]

    def cosines(array):
        x = _centred(rows(array, where), counts)
        gram, distance = product(x, x), _distances(x, both)
        inverse = jnp.where(distance == 0, 0.0, 1.0 / jnp.where(distance == 0, 1.0, distance))
        # <x_i - x_j, x_k - x_j> at [i, j, k].
        dots = gram[:, None, :] - gram[:, :, None] - gram[None, :, :] + jnp.diagonal(gram)[None, :, None]
        return dots * inverse[:, :, None] * inverse[None, :, :]

    return _over_tuples(optax.losses.huber_loss(cosines(student), cosines(target)), triples, counts, form)


def similarity_preserving(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """Squared distance between the similarity matrices of student and teacher, divided by batch^2 (SP).

    Tung & Mori (2019), section 3. G = A A^T for the flattened activations A, with each row divided by its L2 norm (as
    in the paper; some reimplementations use L1). The loss is the squared Frobenius norm of the difference, divided by
    batch^2.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    x, y = (scaled(rows(array, where)) for array in (student, target))
    return mean(jnp.square(unit_length(product(x, x)) - unit_length(product(y, y))), pair_mask(valid(student, where)))


def correlation_congruence(
    student: jax.Array, target: jax.Array, *, gamma: NonNegative = 0.4, order: Order = 2, where: Mask = None
) -> jax.Array:
    """Squared distance between the kernel matrices of student and teacher, divided by batch^2 (CC).

    Peng et al. (2019), section 3. The kernel is a Gaussian of L2-normalised embeddings, exp(-gamma |x - y|^2),
    approximated by its Taylor series up to `order`. A widely copied implementation multiplies consecutive rows of the
    batch instead; it depends on their order and is not offered.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      gamma: coefficient of the squared distance in the kernel.
      order: order of the Taylor series (2 in the paper); 0 for the exact kernel.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)

    def kernel(array):
        x = unit_length(rows(array, where))
        exponent = 2.0 * gamma * product(x, x)
        if not order:
            return jnp.exp(exponent - 2.0 * gamma)
        total = power = jnp.ones_like(exponent)
        for p in range(1, order + 1):
            power = power * exponent / p
            total = total + power
        return jnp.exp(-2.0 * gamma) * total

    return mean(jnp.square(kernel(student) - kernel(target)), pair_mask(valid(student, where)))


def pkt(student: jax.Array, target: jax.Array, *, form: Form = 'code', where: Mask = None) -> jax.Array:
    """Divergence between the neighbour probabilities of each example in teacher and student (PKT).

    Passalis & Tefas (2018), section 3: a cosine kernel (1 + cos) / 2, each row normalised to a distribution, and
    KL(teacher || student). 'paper' excludes an example's similarity to itself, sums over the other examples, and
    averages over examples. 'code' (usual weight 30000) includes it and takes the mean over batch^2.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      form: 'code' or 'paper'.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    counts = valid(student, where)
    both = pair_mask(counts, diagonal=form == 'code')

    def log_conditional(array):
        x = unit_length(rows(array, where))
        # The similarity of opposite vectors is 0: the floor keeps its logarithm finite.
        kernel = (1.0 + product(x, x)) / 2.0
        kernel = keep_nan(jnp.maximum(kernel, 1e-7), kernel) * both
        total = jnp.sum(kernel, axis=1, keepdims=True)
        return jnp.log(jnp.where(both > 0, kernel, 1.0)) - jnp.log(jnp.where(total > 0, total, 1.0))

    log_p, log_q = log_conditional(target), log_conditional(student)
    divergence = jnp.exp(log_p) * (log_p - log_q)
    if form == 'code':
        return mean(divergence, both)
    return mean(jnp.sum(divergence * both, axis=1), counts)


def cka(student: jax.Array, target: jax.Array, *, where: Mask = None) -> jax.Array:
    """1 minus the linear centred kernel alignment of student and teacher over the batch.

    Kornblith et al. (2019), section 3: <K, L> / (|K| |L|) for the centred Gram matrices K and L. It does not change if
    either side is rotated or scaled. If the batch is smaller than the dimension, the estimated alignment is biased
    upwards. If all examples are equal on one side, the loss is 1 and has no gradient.

    Args:
      student: [batch, ...].
      target: [batch, ...], of any dimension.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch, in [0, 1].
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(student, target)
    counts = valid(student, where)

    def direction(array):
        x = scaled(rows(array, where))
        x = scaled(centred(x, _average(x, counts), 0))
        return unit_length(product(x, x), axis=(0, 1))

    return 1.0 - jnp.sum(direction(student) * direction(target))


def _centred(x: jax.Array, counts: jax.Array) -> jax.Array:
    """Rows minus the mean of the rows that count, scaled so that squares do not overflow; other rows are 0."""
    x = scaled(x)
    return x - _average(x, counts)


def _average(x: jax.Array, counts: jax.Array) -> jax.Array:
    """The mean of the rows that count, in each row that counts; 0 in the others."""
    total = jnp.sum(counts)
    return jnp.sum(x, axis=0) / jnp.where(total > 0, total, 1.0) * counts[:, None]


def _over_tuples(each: jax.Array, different: jax.Array, counts: jax.Array, form: Form) -> jax.Array:
    """The mean over pairs or triples of different examples that count; with 'code', over all that count."""
    average = mean(each, different)
    if form == 'paper':
        return average
    return average * jnp.sum(different) / jnp.maximum(jnp.sum(counts), 1.0) ** different.ndim


def _distances(x: jax.Array, both: jax.Array) -> jax.Array:
    """Euclidean distances between rows, [batch, batch]; 0 where they are not larger than rounding errors."""
    gram = product(x, x)
    sizes = jnp.diagonal(gram)
    sizes = sizes[:, None] + sizes[None, :]
    squared = sizes - 2.0 * gram
    together = (squared <= 16 * jnp.finfo(x.dtype).eps * sizes) | (both == 0)
    return jnp.where(together, 0.0, jnp.sqrt(jnp.where(together, 1.0, squared)))
