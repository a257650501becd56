"""Distillation from a teacher's k largest probabilities: their values with the mass of the rest, or their order."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import divergence_terms, keep_nan, log_tail, wide
from kd_jax.config.errors import UserError
from kd_jax.losses.shape_checks import check_several_classes


def kd_top_k(student: jax.Array, log_probs: jax.Array, classes: jax.Array, t: jax.Array) -> jax.Array:
    """KL(teacher || student) * t^2 over k classes and one bucket for all other classes.

    With k = num_classes this is `kd`. With a smaller k it is a lower bound of `kd`, because merging classes loses
    information (log-sum inequality). It is 0 if the student has the teacher's k probabilities, and therefore the same
    tail mass. Without the bucket, over k renormalised probabilities, the optimal student has another tail mass than the
    teacher.

    Args:
      student: logits, [..., num_classes].
      log_probs: the teacher's log-probabilities at temperature `t`, [..., k + 1]: of the k classes, then of all other
        classes together.
      classes: k different integers in [0, num_classes), [..., k].
      t: the temperature at which `log_probs` were computed, [...]. It comes with the targets (model 'top_k') and is not
        a hyperparameter, because k probabilities and a tail cannot be converted to another temperature.
    Returns:
      nats per example, [...].
    Raises:
      UserError: there is one class only, `classes` and `log_probs` do not have k and k + 1 entries, or k exceeds the
        student's classes.
    """
    check_several_classes(student)
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
    return t**2 * jnp.sum(divergence_terms(log_p, merged), axis=-1)


def rank_top_k(student: jax.Array, classes: jax.Array) -> jax.Array:
    """Negative log-likelihood of the teacher's ranking of its k most probable classes (ListMLE).

    Xia et al. (2008), section 4: under the student's Plackett-Luce model the ranking has the probability of drawing the
    k classes in this order without replacement, each time from those that are left of the k. Only the order of the
    teacher's k classes enters, not their probabilities, and no other class does. Classes that the student rules out
    (-inf) may come last, in any order; before any other class they make the loss infinite.

    Args:
      student: logits, [..., num_classes].
      classes: different integers in [0, num_classes), most probable first, [..., k] (model 'top_k').
    Returns:
      nats per example, [...]; at equal logits log(k!).
    Raises:
      UserError: there is one class only, or k is not between 2 and the number of classes.
    """
    check_several_classes(student)
    k = classes.shape[-1]
    if not 2 <= k <= student.shape[-1]:
        raise UserError(f'a ranking of {k} classes needs at least 2 and at most the {student.shape[-1]} of the student')
    classes = jnp.broadcast_to(classes, (*student.shape[:-1], k)).astype(jnp.int32)
    logits = jnp.take_along_axis(wide(student), classes, axis=-1)
    last = logits.ndim - 1
    # From here on only classes that the student rules out are left. They enter as the smallest number: the gradient of
    # the logarithm of a sum of nothing but -inf is NaN.
    ended = jax.lax.cummax((~jnp.isneginf(logits)).astype(jnp.int32), axis=last, reverse=True) == 0
    logits = jnp.where(ended, jnp.finfo(logits.dtype).min, logits)
    left = jax.lax.cumlogsumexp(logits, axis=last, reverse=True)
    return keep_nan(jnp.sum(jnp.where(ended, 0.0, left - logits), axis=-1), student)
