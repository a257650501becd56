"""Losses of networks that play against each other: a judge and a student, a generator and a teacher."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import wide
from kd_jax.losses.masks import Mask, valid
from kd_jax.losses.shape_checks import check_batch


def judge(student: jax.Array, target: jax.Array) -> jax.Array:
    """Cross-entropy of telling what comes of the teacher (1) from what comes of the student (0).

    Goodfellow et al. (2014), equation 1, between two networks' activations as in Wang et al. (2018, AAAI) and Xu et al.
    (2018): the judge's networks read '~student.features', so that it learns and the student does not.

    Args:
      student: the judge's scores of the student's activations, logits [...].
      target: of the teacher's, [...].
    Returns:
      nats per example, [...]; 2 log 2 where it cannot tell.
    """
    return jax.nn.softplus(wide(student)) + jax.nn.softplus(-wide(target))


def deceive(student: jax.Array) -> jax.Array:
    """Cross-entropy of the student's activations being taken for the teacher's.

    Goodfellow et al. (2014), section 3, the form that does not saturate: -log of the judge's probability. The scores
    come of a network with the judge's parameters as constants, update='shared', of='~judge'.

    Args:
      student: the judge's scores of the student's activations, logits [...].
    Returns:
      nats per example, [...].
    """
    return jax.nn.softplus(-wide(student))


def class_imbalance(logits: jax.Array, *, where: Mask = None) -> jax.Array:
    """log(num_classes) minus the entropy of the batch's mean distribution: 0 when all classes are met alike.

    Chen et al. (2019, DAFL), equation 6 (information entropy loss), here not below 0.

    Args:
      logits: a teacher's, [batch, num_classes].
      where: [batch], which examples count.
    Returns:
      nats, one value for the batch.
    Raises:
      UserError: fewer than 2 examples.
    """
    check_batch(logits, logits)
    p, counts = jax.nn.softmax(wide(logits)), valid(logits, where)
    total = jnp.sum(counts)
    mean = jnp.sum(jnp.where(counts[:, None] > 0, p, 0.0), axis=0) / jnp.where(total > 0, total, 1.0)
    log = jnp.log(jnp.maximum(mean, jnp.finfo(mean.dtype).tiny))  # finite where a class is not met, gradients too
    return jnp.log(p.shape[-1]) + jnp.sum(mean * log)


def inactivity(features: jax.Array) -> jax.Array:
    """Minus the mean size of a teacher's features: what it knows excites it.

    Chen et al. (2019, DAFL), equation 5 (activation loss).

    Args:
      features: [..., dim].
    Returns:
      per example, [...], at most 0.
    """
    return -jnp.mean(jnp.abs(wide(features)), axis=-1)
