"""Losses on the logits of several independent yes-or-no labels."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.arrays.numerics import divergence_terms, weighted, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Temperature
from kd_jax.losses.shape_checks import check_class_weights

Over = Literal['mean', 'sum']


def bce(
    logits: jax.Array, target: jax.Array, *, over_labels: Over = 'mean', class_weights: tuple[float, ...] = ()
) -> jax.Array:
    """Binary cross-entropy of a sigmoid for each label, from logits.

    Args:
      logits: [..., labels].
      target: 0 or 1 for each label, or probabilities: integers, booleans or floats in [0, 1], [..., labels].
      over_labels: 'mean' or 'sum' over the labels.
      class_weights: one weight for each label, which multiplies its cross-entropy; the mean still divides by the number
        of labels, as with `weight` of PyTorch's BCEWithLogitsLoss. () weights all labels with 1.
    Returns:
      nats per example, [...].
    Raises:
      UserError: the shapes of logits and target do not fit, or the number of class weights is not that of the labels.
    """
    _check_labels(logits, target, 'target')
    logits, target = wide(logits), target.astype(wide(logits).dtype)
    yes, no = (
        weighted(*pair) for pair in ((target, jax.nn.log_sigmoid(logits)), (1.0 - target, jax.nn.log_sigmoid(-logits)))
    )
    each = -yes - no
    return _over(_weighted(each, class_weights), over_labels)


def bce_kd(
    student: jax.Array, target: jax.Array, *, t: Temperature = 1.0, over_labels: Over = 'mean',
    class_weights: tuple[float, ...] = (),
) -> jax.Array:  # fmt: skip
    """`kd` for independent labels: KL(teacher || student) * t^2 of the softened sigmoids of each label.

    Both logits are divided by t before the sigmoid. As t grows, the loss of a label tends to the squared distance of
    the two logits, divided by 8. With several teachers, the target is the mean of
    their softened probabilities.

    Args:
      student: logits, [..., labels].
      target: teacher's logits, [..., labels], or [teachers, ..., labels] for several teachers.
      t: temperature.
      over_labels: 'mean' or 'sum' over the labels.
      class_weights: as in `bce`.
    Returns:
      nats per example, [...].
    Raises:
      UserError: the shapes of student and teacher do not fit, or the number of class weights is not that of the labels.
    """
    several = target.ndim > student.ndim
    _check_labels(student, target[0] if several else target, "teacher's logits")
    student, target = wide(student) / t, wide(target) / t
    yes, no = jax.nn.log_sigmoid(target), jax.nn.log_sigmoid(-target)
    if several:
        yes, no = (jax.nn.logsumexp(each, axis=0) - np.log(target.shape[0]) for each in (yes, no))
    each = divergence_terms(yes, jax.nn.log_sigmoid(student)) + divergence_terms(no, jax.nn.log_sigmoid(-student))
    return t**2 * _over(_weighted(each, class_weights), over_labels)


def _weighted(each: jax.Array, class_weights: tuple[float, ...]) -> jax.Array:
    check_class_weights(each, class_weights)
    return weighted(jnp.array(class_weights, each.dtype), each) if class_weights else each


def _over(each: jax.Array, over_labels: Over) -> jax.Array:
    return jnp.mean(each, axis=-1) if over_labels == 'mean' else jnp.sum(each, axis=-1)


def _check_labels(logits: jax.Array, other: jax.Array, what: str) -> None:
    # Stacked copies of the student learn from one target.
    if other.ndim > logits.ndim or logits.shape[logits.ndim - other.ndim :] != other.shape:
        raise UserError(f'the logits have shape {list(logits.shape)}, but the {what} {list(other.shape)}')
