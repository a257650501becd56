"""Divergences between the distributions of student and teacher other than KL(teacher || student), which is `kd`."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import divergence_terms
from kd_jax.config.hyperparameters import Below1, InnerFraction, Temperature
from kd_jax.losses.logits import average_log_probabilities
from kd_jax.losses.shape_checks import check_classes


def jsd(student: jax.Array, target: jax.Array, *, t: Temperature = 1.0, beta: InnerFraction = 0.5) -> jax.Array:
    """Generalised Jensen-Shannon divergence of teacher and student, times t^2 as in `kd`.

    Agarwal et al. (2024, GKD), equation 1: beta KL(p || m) + (1 - beta) KL(q || m) with m = beta p + (1 - beta) q, for
    the softened distributions p of the teacher and q of the student. At beta = 1/2 it is symmetric. As beta tends to 0,
    the loss divided by beta tends to `kd`, KL(p || q); as beta tends to 1, the loss divided by 1 - beta tends to
    KL(q || p). At 0 and at 1 the loss would always be 0, so they are refused; some codes compute the two KL divergences
    there instead.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers, whose
        softened distributions are averaged.
      t: temperature.
      beta: share of the teacher in the mixture m.
    Returns:
      nats per example, [...].
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    log_p, log_q = _both(student, target, t)
    log_m = _log_mixture(log_p, log_q, beta)
    each = beta * divergence_terms(log_p, log_m) + (1.0 - beta) * divergence_terms(log_q, log_m)
    return t**2 * jnp.sum(each, axis=-1)


def reverse_kl(student: jax.Array, target: jax.Array, *, t: Temperature = 1.0) -> jax.Array:
    """KL(student || teacher) * t^2, the divergence of `kd` with its arguments exchanged.

    Gu et al. (2024, MiniLLM), equation 1, at each position by itself and exactly, summed over all classes. (MiniLLM
    takes it of whole sequences, whose gradient has a further part from the sampling.) It is infinite where the student
    gives a class some probability that the teacher rules out.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers, whose
        softened distributions are averaged.
      t: temperature.
    Returns:
      nats per example, [...].
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    log_p, log_q = _both(student, target, t)
    return t**2 * jnp.sum(divergence_terms(log_q, log_p), axis=-1)


def skew_kl(student: jax.Array, target: jax.Array, *, t: Temperature = 1.0, alpha: Below1 = 0.1) -> jax.Array:
    """KL(teacher || alpha teacher + (1 - alpha) student) * t^2, which is finite wherever the student is 0.

    Ko et al. (2024, DistiLLM), equation 4, there with t = 1 and alpha = 0.1. At alpha = 0 it is `kd`. The gradient
    passes through the mixture.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers, whose
        softened distributions are averaged.
      t: temperature.
      alpha: share of the teacher in the mixture.
    Returns:
      nats per example, [...]; at most -t^2 log(alpha).
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    log_p, log_q = _both(student, target, t)
    return t**2 * jnp.sum(divergence_terms(log_p, _log_mixture(log_p, log_q, alpha)), axis=-1)


def reverse_skew_kl(student: jax.Array, target: jax.Array, *, t: Temperature = 1.0, alpha: Below1 = 0.1) -> jax.Array:
    """KL(student || (1 - alpha) teacher + alpha student) * t^2, which is finite wherever the teacher is 0.

    Ko et al. (2024, DistiLLM), section 3.1, there with t = 1 and alpha = 0.1. At alpha = 0 it is `reverse_kl`. The
    gradient passes through both places of the student.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers, whose
        softened distributions are averaged.
      t: temperature.
      alpha: share of the student in the mixture.
    Returns:
      nats per example, [...]; at most -t^2 log(alpha).
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    log_p, log_q = _both(student, target, t)
    return t**2 * jnp.sum(divergence_terms(log_q, _log_mixture(log_q, log_p, alpha)), axis=-1)


def total_variation(student: jax.Array, target: jax.Array) -> jax.Array:
    """Total variation distance, half the sum of the absolute differences of the probabilities.

    Wen et al. (2023, f-distill), section 3. It is 1 minus the share of the teacher's samples that speculative decoding
    accepts from the student, sum(min(p, q)). Probabilities are not softened.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers, whose
        distributions are averaged.
    Returns:
      [...], in [0, 1].
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    log_p, log_q = _both(student, target, 1.0)
    return 0.5 * jnp.sum(jnp.abs(jnp.exp(log_p) - jnp.exp(log_q)), axis=-1)


def _both(student: jax.Array, target: jax.Array, t: float) -> tuple[jax.Array, jax.Array]:
    """The softened log-probabilities of teacher and student, [..., num_classes] each."""
    check_classes(student, target)
    log_q, log_p = (average_log_probabilities(logits, t, 'probabilities', student.ndim) for logits in (student, target))
    return log_p, log_q


def _log_mixture(first: jax.Array, second: jax.Array, share: float) -> jax.Array:
    """log(share * exp(first) + (1 - share) * exp(second)), with finite gradients where both probabilities are 0."""
    # Where both are 0 nothing is added; the logarithm of their mixture would have no gradient there.
    possible = ~(jnp.isneginf(first) & jnp.isneginf(second))
    first, second = (jnp.where(possible, log, 0.0) for log in (first, second))
    return jnp.logaddexp(jnp.log(share) + first, jnp.log1p(-share) + second)
