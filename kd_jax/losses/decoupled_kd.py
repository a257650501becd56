"""Decoupled knowledge distillation."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import standardised, wide
from kd_jax.config.hyperparameters import NonNegative, Positive
from kd_jax.losses.shape_checks import check_classes


def dkd(
    student: jax.Array, target: jax.Array, labels: jax.Array,
    *, t: Positive = 4.0, alpha: NonNegative = 1.0, beta: NonNegative = 8.0, standardise: bool = False,
) -> jax.Array:  # fmt: skip
    """t^2 (alpha TCKD + beta NCKD): divergence in the label's class, and among the others without it (DKD).

    Zhao et al. (2022), equations 5 to 7. TCKD is the divergence of (p, 1 - p) with p the label's probability, NCKD that
    of the others' probabilities, renormalised. `kd` is TCKD + (1 - p) NCKD with the teacher's p, so with beta = 1 - p
    nothing is new; a constant beta (2 to 8, warmed up over 20 epochs in the paper) keeps what a sure teacher knows
    about the others. Probabilities are taken from sums over the others alone, not by subtracting 1000 from a logit.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes].
      labels: integers, broadcast against the leading axes.
      t: temperature.
      alpha: weight of the label's class.
      beta: weight of the others.
      standardise: as in `kd`.
    Returns:
      nats per example, [...].
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    check_classes(student, target)
    if standardise:
        student, target = standardised(wide(student)), standardised(wide(target))
    is_label = jnp.arange(student.shape[-1]) == jnp.broadcast_to(labels, student.shape[:-1])[..., None]

    def split(logits):
        # The others are normalised by themselves, not taken from log_softmax: below a label's large logit they would
        # have been rounded already.
        z = wide(logits) / t
        every = jax.nn.logsumexp(z, axis=-1)
        rest = jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, z), axis=-1)
        label = jnp.sum(jnp.where(is_label, z, 0.0), axis=-1)
        return label - every, rest - every, jnp.where(is_label, 0.0, z - rest[..., None])

    label_q, rest_q, others_q = split(student)
    label_p, rest_p, others_p = split(target)
    tckd = _summand(label_p, label_q) + _summand(rest_p, rest_q)
    nckd = jnp.sum(jnp.where(is_label, 0.0, _summand(others_p, others_q)), axis=-1)
    return t**2 * (alpha * tckd + beta * nckd)


def _summand(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
    """p (log p - log q), which is 0 where p is."""
    return jnp.exp(log_p) * jnp.where(jnp.isneginf(log_p), 0.0, log_p - log_q)
