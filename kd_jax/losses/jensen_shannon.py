"""The Jensen-Shannon divergence of student and teacher."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import divergence_terms
from kd_jax.config.hyperparameters import InnerFraction, Temperature
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
    check_classes(student, target)
    log_q, log_p = (average_log_probabilities(logits, t, 'probabilities', student.ndim) for logits in (student, target))
    # Where both are 0 nothing is added; the logarithm of their mixture would have no gradient there.
    possible = ~(jnp.isneginf(log_p) & jnp.isneginf(log_q))
    log_p_safe, log_q_safe = (jnp.where(possible, log, 0.0) for log in (log_p, log_q))
    log_m = jnp.logaddexp(jnp.log(beta) + log_p_safe, jnp.log1p(-beta) + log_q_safe)
    each = beta * divergence_terms(log_p, log_m) + (1.0 - beta) * divergence_terms(log_q, log_m)
    return t**2 * jnp.sum(each, axis=-1)
