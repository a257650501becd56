"""Losses on logits: labels, and a teacher's softened distribution."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from kd_jax.errors import UserError
from kd_jax.hyperparameters import Fraction, Positive
from kd_jax.losses.arrays import check_alike, check_classes, wide

Average = Literal['probabilities', 'logits', 'losses']


def cross_entropy(logits: jax.Array, labels: jax.Array, *, label_smoothing: Fraction = 0.0) -> jax.Array:
    """Cross-entropy to labels, smoothed towards the uniform distribution.

    Szegedy et al. (2016), section 7: the target is (1 - label_smoothing) * one_hot + label_smoothing / num_classes.

    Args:
      logits: [..., num_classes].
      labels: integers in [0, num_classes), broadcast against the leading axes of `logits`; or distributions over
        classes, floats [..., num_classes].
      label_smoothing: share of the target that is uniform.
    Returns:
      nats per example, [...].
    Raises:
      UserError: distributions over another number of classes.
    """
    log_q = _softened(logits, 1.0)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        if labels.shape[-1:] != logits.shape[-1:]:
            raise UserError(f'the labels are distributions over other classes: {labels.shape} and {logits.shape}')
        picked = jnp.sum(labels * log_q, axis=-1)
    else:
        labels = jnp.broadcast_to(labels, logits.shape[:-1])
        picked = jnp.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]
    return -(1.0 - label_smoothing) * picked - label_smoothing * jnp.mean(log_q, axis=-1)


def kd(student: jax.Array, target: jax.Array, *, t: Positive = 1.0, average: Average = 'probabilities') -> jax.Array:
    """Softened cross-entropy to a teacher, KL(teacher || student) * t^2.

    Hinton et al. (2015), section 2. The factor t^2 keeps the gradient's size when t changes; as t grows the loss tends
    to the squared distance of the centred logits over 2 * num_classes. Several teachers (a network with copies, or a
    list of paths) are averaged as said by `average`; no average grows with their number. Averaging 'losses' and
    averaging 'probabilities' have the same gradient, for KL is linear in the target up to a constant.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several.
      t: temperature.
      average: 'probabilities' (arithmetic mean of the softened distributions), 'logits' (geometric mean, renormalised)
        or 'losses' (mean of the KLs).
    Returns:
      nats per example, [...].
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    check_classes(student, target)
    log_q = _softened(student, t)
    if target.ndim > student.ndim and average == 'losses':
        return t**2 * jnp.mean(_kl(_softened(target, t), log_q), axis=0)
    return t**2 * _kl(average_log_probabilities(target, t, average, student.ndim), log_q)


def average_log_probabilities(target: jax.Array, t: float, average: Average, ndim: int) -> jax.Array:
    """Softened log-probabilities of one teacher, or of the average of several (`target` with a leading axis more)."""
    if target.ndim <= ndim:
        return _softened(target, t)
    if average == 'logits':
        return _softened(jnp.mean(wide(target), axis=0), t)
    return jax.nn.logsumexp(_softened(target, t), axis=0) - jnp.log(target.shape[0])


def mse(student: jax.Array, target: jax.Array) -> jax.Array:
    """Mean over the last axis of the squared difference.

    Ba & Caruana (2014) match logits so; it is the limit of `kd` at high temperature for centred logits, times 2. On the
    output of a connector it is the hint loss of FitNets (Romero et al. 2015, section 2), there a sum over 2.

    Args:
      student: [..., dim].
      target: [..., dim], or [teachers, ..., dim] for several, each of which is matched.
    Returns:
      [...].
    Raises:
      UserError: shapes that differ.
    """
    check_alike(student, target)
    return jnp.mean(optax.losses.squared_error(wide(student), wide(target)), axis=-1)


def _softened(logits: jax.Array, t: float) -> jax.Array:
    # In bfloat16 the differences between log-probabilities at a high temperature drown in rounding.
    return jax.nn.log_softmax(wide(logits) / t)


def _kl(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
    # A class that the teacher rules out with a logit of -inf adds nothing: 0 * log 0 = 0.
    return jnp.sum(jnp.exp(log_p) * jnp.where(jnp.isneginf(log_p), 0.0, log_p - log_q), axis=-1)
