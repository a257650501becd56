"""Decoupled knowledge distillation (DKD)."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import divergence_terms, wide
from kd_jax.config.hyperparameters import NonNegative, Temperature
from kd_jax.losses.logits import Standardise, class_numbers, scaled_logits
from kd_jax.losses.shape_checks import check_classes


def dkd(
    student: jax.Array, target: jax.Array, labels: jax.Array,
    *, t: Temperature = 4.0, alpha: NonNegative = 1.0, beta: NonNegative = 8.0, standardise: Standardise = False,
) -> jax.Array:  # fmt: skip
    """t^2 (alpha TCKD + beta NCKD): separate divergences for the label's class and for the other classes (DKD).

    Zhao et al. (2022), equations 5 to 7. With p the probability of the label, TCKD is the divergence between the
    distributions (p, 1 - p); NCKD is the divergence between the renormalised probabilities of the other classes. `kd`
    equals TCKD + (1 - p) NCKD with the teacher's p, so NCKD has little weight where the teacher is confident; with a
    constant beta (2 to 8, with 20 epochs of warm-up in the paper) it keeps its weight. The probabilities of the other
    classes are computed from these classes alone; the published code subtracts 1000 from the label's logit instead.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes].
      labels: integers, as in `cross_entropy`.
      t: temperature.
      alpha: weight of TCKD.
      beta: weight of NCKD.
      standardise: as in `kd`.
    Returns:
      nats per example, [...]; NaN where the label is no class.
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    check_classes(student, target)
    student, target = (scaled_logits(logits, standardise) for logits in (student, target))
    labels, known = class_numbers(labels, student.shape[-1])
    is_label = jnp.arange(student.shape[-1]) == jnp.broadcast_to(labels, student.shape[:-1])[..., None]

    def split(logits):
        # The other classes have a normalisation of their own: next to a large logit of the label, log_softmax would
        # already have rounded away their differences.
        z = wide(logits) / t
        every = jax.nn.logsumexp(z, axis=-1)
        rest = jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, z), axis=-1)
        label = jnp.sum(jnp.where(is_label, z, 0.0), axis=-1)
        return label - every, rest - every, jnp.where(is_label, 0.0, z - rest[..., None])

    label_q, rest_q, others_q = split(student)
    label_p, rest_p, others_p = split(target)
    tckd = divergence_terms(label_p, label_q) + divergence_terms(rest_p, rest_q)
    nckd = jnp.sum(jnp.where(is_label, 0.0, divergence_terms(others_p, others_q)), axis=-1)
    return jnp.where(known, t**2 * (alpha * tckd + beta * nckd), jnp.nan)
