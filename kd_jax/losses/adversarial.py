"""Losses for networks with opposing goals: a discriminator and a student, a generator and a teacher."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import wide
from kd_jax.losses.masks import Mask, valid
from kd_jax.losses.shape_checks import check_batch, check_several_classes


def judge(student: jax.Array, target: jax.Array) -> jax.Array:
    """The discriminator's loss: binary cross-entropy, label 1 for the teacher's activations and 0 for the student's.

    Goodfellow et al. (2014), equation 1, applied to the activations of two networks as in Wang et al. (2018, AAAI) and
    Xu et al. (2018). Let the discriminator read '~student.features': then it learns from this loss and the student does
    not.

    Args:
      student: the discriminator's scores of the student's activations, logits [...].
      target: the discriminator's scores of the teacher's activations, logits [...].
    Returns:
      nats per example, [...]; 2 log 2 if the discriminator cannot tell them apart.
    """
    return jax.nn.softplus(wide(student)) + jax.nn.softplus(-wide(target))


def deceive(student: jax.Array) -> jax.Array:
    """The student's loss against a discriminator: cross-entropy with the label "teacher" for the student's activations.

    Goodfellow et al. (2014), section 3, the non-saturating form: -log of the probability that the discriminator gives
    to "teacher". Take the scores from a network that uses the discriminator's parameters as constants: update='shared',
    of='~judge'.

    Args:
      student: the discriminator's scores of the student's activations, logits [...].
    Returns:
      nats per example, [...].
    """
    return jax.nn.softplus(-wide(student))


def class_imbalance(logits: jax.Array, *, form: Literal['paper', 'code'] = 'paper', where: Mask = None) -> jax.Array:
    """log(num_classes) minus the entropy of the batch's mean distribution; 0 if the mean is uniform over the classes.

    Chen et al. (2019, DAFL), equation 6 (information entropy loss), shifted so that the minimum is 0. 'paper' has the
    natural logarithm. 'code' has the logarithm to base 10, as the published code with its weight of 5: with the natural
    logarithm that weight is 2.3.

    Args:
      logits: the teacher's logits, [batch, num_classes].
      form: 'paper' or 'code'.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      nats, or decimal digits for 'code', one value for the batch.
    Raises:
      UserError: fewer than 2 examples, or one class only.
    """
    check_several_classes(logits)
    check_batch(logits, logits)
    p, counts = jax.nn.softmax(wide(logits)), valid(logits, where)
    total = jnp.sum(counts)
    mean = jnp.sum(jnp.where(counts[:, None] > 0, p, 0.0), axis=0) / jnp.where(total > 0, total, 1.0)
    log = jnp.log(jnp.maximum(mean, jnp.finfo(mean.dtype).tiny))  # value and gradient stay finite at 0
    nats = jnp.log(p.shape[-1]) + jnp.sum(mean * log)
    return nats / jnp.log(10.0) if form == 'code' else nats


def inactivity(features: jax.Array) -> jax.Array:
    """Minus the mean absolute value of a teacher's features: familiar inputs activate a network strongly.

    Chen et al. (2019, DAFL), equation 5 (activation loss).

    Args:
      features: [..., dim].
    Returns:
      one value per example, [...], at most 0.
    """
    return -jnp.mean(jnp.abs(wide(features)), axis=-1)
