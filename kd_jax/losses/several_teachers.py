"""Losses for several teachers whose weights differ from example to example."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import divergence_terms, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Temperature
from kd_jax.losses.logits import Average, averaged_kd, class_numbers, cross_entropy
from kd_jax.losses.shape_checks import check_classes


def gated_kd(
    student: jax.Array, target: jax.Array, weights: jax.Array,
    *, t: Temperature = 1.0, average: Average = 'probabilities',
) -> jax.Array:  # fmt: skip
    """`kd` from several teachers, averaged with weights that a network computes for each example.

    Liu et al. (2020, AMTML-KD) learn such adaptive weights. A gate (model 'gate') may read, for example, the student's
    features. Read '~gate.weights' if this term should not train the gate.

    Args:
      student: logits, [..., num_classes].
      target: teachers' logits, [teachers, ..., num_classes].
      weights: at least 0, with sum 1 over the last axis, [..., teachers].
      t: temperature.
      average: as in `kd`.
    Returns:
      nats per example, [...].
    Raises:
      UserError: different numbers of classes, a single teacher, or not one weight per teacher.
    """
    _check(student, target)
    if weights.shape[-1] != target.shape[0]:
        raise UserError(f'there are {target.shape[0]} teachers, but {weights.shape[-1]} weights')
    return averaged_kd(student, target, jnp.moveaxis(weights, -1, 0), t, average)


def confident_kd(
    student: jax.Array, target: jax.Array, labels: jax.Array,
    *, t: Temperature = 1.0, by: Literal['label', 'entropy'] = 'label', average: Average = 'losses',
) -> jax.Array:  # fmt: skip
    """`kd` from several teachers, each weighted for each example by its confidence.

    'label' weights a teacher by 1 minus the softmax over teachers of their cross-entropies, divided by teachers - 1, so
    that a teacher that is wrong about an example has little weight (Zhang et al. 2022, CA-MKD, equation 3). 'entropy'
    gives teachers with lower entropy more weight and makes no use of the labels, as Kwon et al. (2020, "Adaptive
    knowledge distillation based on entropy") propose; the softmax of minus the entropies is this library's choice.

    Args:
      student: logits, [..., num_classes].
      target: teachers' logits, [teachers, ..., num_classes].
      labels: integers, as in `cross_entropy`.
      t: temperature of `kd`; confidence is measured at temperature 1.
      by: 'label' or 'entropy'.
      average: as in `kd`.
    Returns:
      nats per example, [...]; NaN where `by` is 'label' and the label is no class.
    Raises:
      UserError: different numbers of classes, or a single teacher.
    """
    _check(student, target)
    known = jnp.array(True)
    if by == 'label':
        labels, known = class_numbers(labels, target.shape[-1])
        error = cross_entropy(target, jnp.broadcast_to(labels, target.shape[1:-1]))
        error = jnp.minimum(error, jnp.finfo(error.dtype).max)  # infinite for a teacher that rules the label out
        weights = (1.0 - jax.nn.softmax(error, axis=0)) / (target.shape[0] - 1)
    else:
        log_p = jax.nn.log_softmax(wide(target))
        weights = jax.nn.softmax(jnp.sum(divergence_terms(log_p, jnp.zeros_like(log_p)), axis=-1), axis=0)
    return jnp.where(known, averaged_kd(student, target, weights, t, average), jnp.nan)


def _check(student: jax.Array, target: jax.Array) -> None:
    check_classes(student, target)
    if target.ndim <= student.ndim or target.shape[0] < 2:
        raise UserError('the loss needs several teachers: let target be a network with copies, or a list of paths')
