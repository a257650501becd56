"""Distillation from a teacher's k largest probabilities and the mass of all others."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import log_tail
from kd_jax.config.errors import UserError


def kd_top_k(student: jax.Array, log_probs: jax.Array, classes: jax.Array, t: jax.Array) -> jax.Array:
    """KL(teacher || student) * t^2 over k classes and one bucket for all the others.

    It is `kd` at k = num_classes and a lower bound of it for fewer (log-sum inequality: merging classes into one bucket
    loses what tells them apart). It is 0 where the student has the teacher's k probabilities, and hence its tail mass;
    without the bucket, over k renormalised probabilities, the optimum puts another mass in the tail.

    Args:
      student: logits, [..., num_classes].
      log_probs: the teacher's, softened at `t`: of the k classes and, last, of all the others together, [..., k + 1].
      classes: k different integers in [0, num_classes), [..., k].
      t: the temperature at which the teacher was softened, [...]. It is read from where the targets come from (see
        `models.top_k`), because k probabilities and a sum cannot be softened anew at another.
    Returns:
      nats per example, [...].
    Raises:
      UserError: the targets are not those of k classes, or of more than the student has.
    """
    k = classes.shape[-1]
    if log_probs.shape[-1] != k + 1 or k > student.shape[-1]:
        given = f'{k} classes and {log_probs.shape[-1]} log-probabilities'
        raise UserError(f'{given} do not fit a student of {student.shape[-1]} classes')
    t = t.astype(jnp.promote_types(student.dtype, jnp.float32))
    log_q = jax.nn.log_softmax(student / t[..., None])
    classes = jnp.broadcast_to(classes, (*student.shape[:-1], k)).astype(jnp.int32)
    log_p, merged = log_probs.astype(log_q.dtype), jnp.take_along_axis(log_q, classes, axis=-1)
    if k < student.shape[-1]:
        merged = jnp.concatenate([merged, log_tail(log_q, classes)], axis=-1)
    else:
        log_p = log_p[..., :k]
    return t**2 * jnp.sum(jnp.exp(log_p) * jnp.where(jnp.isneginf(log_p), 0.0, log_p - merged), axis=-1)
