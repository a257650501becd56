"""Losses on logits, with labels or a teacher's softened distribution as the target."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from kd_jax.arrays.numerics import divergence_terms, keep_nan, standardised, weighted, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Fraction, Temperature
from kd_jax.losses.shape_checks import check_alike, check_class_weights, check_classes, check_several_classes

Average = Literal['probabilities', 'logits', 'losses']
Standardise = Literal[False, True, 'code']


def cross_entropy(
    logits: jax.Array, labels: jax.Array, *, label_smoothing: Fraction = 0.0, class_weights: tuple[float, ...] = ()
) -> jax.Array:
    """Cross-entropy to labels, with optional label smoothing.

    Szegedy et al. (2016), section 7: the target is (1 - label_smoothing) * one_hot + label_smoothing / num_classes.
    A class whose logit is -inf does not exist: the loss is that of the other classes alone.

    Args:
      logits: [..., num_classes].
      labels: integers in [0, num_classes), [...]; or distributions over the classes, floats [..., num_classes]. An axis
        of stacked copies may be missing: labels [batch] serve all of [copies, batch, num_classes]. Logits of positions,
        [batch, length, num_classes], need labels [batch, length].
      label_smoothing: share of the uniform distribution in the target.
      class_weights: one weight for each class, which multiplies the part of the target that lies on the class. The
        term's mean still divides by the number of examples, so the weight of an example does not depend on its batch.
        PyTorch divides by the sum of the examples' weights instead; for that, give these weights as the mask of the
        term. () weights all classes with 1.
    Returns:
      nats per example, [...]; NaN where the label is no class.
    Raises:
      UserError: there is one class only, the labels are floats but no distributions over these classes, or the number
        of class weights is not that of the classes.
    """
    check_several_classes(logits)
    check_class_weights(logits, class_weights)
    labels, known = class_numbers(labels, logits.shape[-1])
    log_q = _softened(logits, 1.0)
    exists = ~jnp.isneginf(log_q)
    if class_weights:
        log_q = weighted(jnp.array(class_weights, log_q.dtype), log_q)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        if labels.shape[-1:] != logits.shape[-1:] or labels.ndim < min(logits.ndim, 2):
            raise UserError(
                f'the labels are distributions of shape {labels.shape}, but the logits have shape {logits.shape} and '
                'need one distribution for each example; numbers of classes must be whole numbers, not floats'
            )
        picked = jnp.sum(weighted(labels, log_q), axis=-1)
    else:
        labels = jnp.broadcast_to(labels, logits.shape[:-1])
        picked = jnp.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]
    if isinstance(label_smoothing, float | int) and label_smoothing == 0:
        # Several passes over the logits less, which count with the vocabulary of a language model.
        return jnp.where(known, -picked, jnp.nan)
    uniform = jnp.sum(jnp.where(exists, log_q, 0.0), axis=-1) / jnp.sum(exists, axis=-1)
    return jnp.where(known, -(1.0 - label_smoothing) * picked - label_smoothing * uniform, jnp.nan)


def class_numbers(labels: jax.Array, num_classes: int) -> tuple[jax.Array, jax.Array]:
    """Labels with class 0 in place of what is no class, and which of them are classes.

    A loss computes with the former and ends with NaN where a label is no class: JAX would take -1 for the last class.
    As the NaN comes last, it is in no gradient where a mask leaves such a label out.

    Args:
      labels: integers, [...]; or distributions over the classes, floats, which are returned as they are.
      num_classes: the number of classes.
    Returns:
      the labels, and booleans of their shape; one True for distributions.
    """
    labels = jnp.asarray(labels)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        return labels, jnp.array(True)
    known = (labels >= 0) & (labels < num_classes)
    return jnp.where(known, labels, 0), known


def kd(
    student: jax.Array, target: jax.Array, *, t: Temperature = 1.0, average: Average = 'probabilities',
    shares: tuple[float, ...] = (), standardise: Standardise = False,
) -> jax.Array:  # fmt: skip
    """Softened cross-entropy to a teacher, KL(teacher || student) * t^2.

    Hinton et al. (2015), section 2. The factor t^2 keeps the gradient's size when t changes; as t grows the loss tends
    to the squared distance of the centred logits, divided by 2 * num_classes. In float32 the value loses digits then:
    with 10 classes it is wrong by up to 0.1% at t = 100 and 10% at t = 1000. Its gradient stays right.

    Several teachers (a network with copies, or a list of paths) are averaged according to `average`; the loss does not
    grow with their number. 'losses' and 'probabilities' have the same gradient, because KL is linear in the target up
    to a constant.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers.
      t: temperature.
      average: 'probabilities' (arithmetic mean of the softened distributions), 'logits' (geometric mean, renormalised)
        or 'losses' (mean of the KL divergences).
      shares: relative weight of each teacher, for example its validation accuracy; normalised. () weights all equally.
      standardise: whether to scale the logits of each example to mean 0 and standard deviation 1 over the classes first
        (Sun et al. 2024, equation 9, logit standardisation; there with t = 2 and a weight of 9). The standard deviation
        divides by num_classes. With 'code' it divides by num_classes - 1 as the published code does, which multiplies
        the logits by sqrt(1 - 1 / num_classes).
    Returns:
      nats per example, [...].
    Raises:
      UserError: student and teacher have different numbers of classes, or `shares` does not have one weight per
        teacher.
    """
    check_classes(student, target)
    student, target = (scaled_logits(logits, standardise) for logits in (student, target))
    if not shares:
        return averaged_kd(student, target, None, t, average)
    if target.ndim <= student.ndim or len(shares) != target.shape[0] or min(shares) < 0 or sum(shares) <= 0:
        raise UserError(
            f'shares is {shares}, but needs one number for each of several teachers, at least 0 and not all 0'
        )
    weights = jnp.array(shares).reshape(-1, *[1] * (target.ndim - 2)) / sum(shares)
    return averaged_kd(student, target, weights, t, average)


def averaged_kd(
    student: jax.Array, target: jax.Array, weights: jax.Array | None, t: float, average: Average
) -> jax.Array:
    """KL(teachers || student) * t^2, averaged over the teachers according to `average`.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers.
      weights: of the teachers, [teachers, ...], with sum 1 over the first axis; None weights all equally.
      t: temperature.
      average: as in `kd`.
    Returns:
      nats per example, [...].
    """
    log_q = _softened(student, t)
    if target.ndim > student.ndim and average == 'losses':
        each = _kl(_softened(target, t), log_q)
        return t**2 * (jnp.mean(each, axis=0) if weights is None else jnp.sum(weighted(weights, each), axis=0))
    return t**2 * _kl(average_log_probabilities(target, t, average, student.ndim, weights), log_q)


def average_log_probabilities(
    target: jax.Array, t: float, average: Average, ndim: int, weights: jax.Array | None = None
) -> jax.Array:
    """Softened log-probabilities of one teacher, or of the average of several.

    Args:
      target: logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers.
      t: temperature.
      average: 'logits' averages logits; any other value averages probabilities.
      ndim: number of axes of one teacher's logits; `target` has more if there are several teachers.
      weights: as in `averaged_kd`.
    Returns:
      [..., num_classes].
    """
    if target.ndim <= ndim:
        return _softened(target, t)
    weights = (
        jnp.full(target.shape[:1] + (1,) * ndim, 1.0 / target.shape[0]) if weights is None else wide(weights)[..., None]
    )
    if average == 'logits':
        return _softened(jnp.sum(weighted(weights, wide(target)), axis=0), t)
    each = _softened(target, t)
    none = jnp.all(jnp.isneginf(each), axis=0)  # logsumexp has no gradient where all are -inf
    mean = jnp.where(none, -jnp.inf, jax.nn.logsumexp(jnp.where(none, 0.0, each), axis=0, b=weights))
    return keep_nan(mean, jnp.sum(each, axis=0))  # logsumexp skips what has no weight


def scaled_logits(logits: jax.Array, standardise: Standardise) -> jax.Array:
    """The logits as `standardise` of `kd` scales them."""
    return standardised(wide(logits), less=int(standardise == 'code')) if standardise else logits


def hard_kd(student: jax.Array, target: jax.Array) -> jax.Array:
    """Cross-entropy to the teacher's most probable class, for teachers that give no probabilities.

    Touvron et al. (2021), equation 3 (hard-label distillation). With several teachers, the class is taken from the mean
    of their distributions.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes], or [teachers, ..., num_classes] for several teachers.
    Returns:
      nats per example, [...].
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    check_classes(student, target)
    log_p = average_log_probabilities(target, 1.0, 'probabilities', student.ndim)
    loss = cross_entropy(student, jnp.argmax(log_p, axis=-1))
    return keep_nan(loss, jnp.broadcast_to(log_p, student.shape))


def teacher_free(logits: jax.Array, labels: jax.Array, *, correct: Fraction = 0.99, t: Temperature = 20.0) -> jax.Array:
    """`kd` from a virtual teacher that gives the label the probability `correct` and shares the rest equally.

    Yuan et al. (2020), equations 8 and 9 (Tf-KD by regularisation, t = 20, correct = 0.99), times t^2 as in `kd`. The
    virtual teacher is softened like a real one, to p^(1/t) renormalised. The published code differs: it softens the
    probabilities as if they were logits, and does not soften the student. At t = 1 the loss is, up to a constant, label
    smoothing of (1 - correct) * num_classes / (num_classes - 1). A class whose logit is -inf does not exist.

    Args:
      logits: [..., num_classes].
      labels: integers, as in `cross_entropy`.
      correct: the virtual teacher's probability of the label.
      t: temperature.
    Returns:
      nats per example, [...]; NaN where the label is no class.
    Raises:
      UserError: there is one class only.
    """
    check_several_classes(logits)
    labels, known = class_numbers(labels, logits.shape[-1])
    is_label = jnp.arange(logits.shape[-1]) == jnp.broadcast_to(labels, logits.shape[:-1])[..., None]
    exists = ~jnp.isneginf(logits)
    others = jnp.maximum(jnp.sum(exists, axis=-1, keepdims=True) - 1, 1)
    virtual = jnp.where(is_label, jnp.log(correct), jnp.log((1.0 - correct) / others))
    return jnp.where(known, kd(logits, jnp.where(exists, virtual, -jnp.inf), t=t), jnp.nan)


def mse(student: jax.Array, target: jax.Array) -> jax.Array:
    """Mean over the last axis of the squared difference.

    Ba & Caruana (2014) match logits with it. For centred logits it is twice the limit of `kd` at high temperature. On
    the output of a connector it is the hint loss of FitNets (Romero et al. 2015, section 2), which is half the sum
    instead of the mean.

    Args:
      student: [..., dim].
      target: [..., dim], or [teachers, ..., dim] for several teachers, each with its own loss.
    Returns:
      [...], or [teachers, ...].
    Raises:
      UserError: different shapes.
    """
    check_alike(student, target)
    return jnp.mean(optax.losses.squared_error(wide(student), wide(target)), axis=-1)


def _softened(logits: jax.Array, t: float) -> jax.Array:
    # At a high temperature the log-probabilities differ by less than the rounding error of bfloat16.
    return jax.nn.log_softmax(wide(logits) / t)


def _kl(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
    return jnp.sum(divergence_terms(log_p, log_q), axis=-1)
