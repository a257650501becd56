"""Losses for networks that teach each other."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import keep_nan, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Temperature
from kd_jax.losses.logits import class_numbers, cross_entropy, kd
from kd_jax.losses.shape_checks import check_classes


def codistillation(student: jax.Array, target: jax.Array, *, t: Temperature = 1.0) -> jax.Array:
    """`kd` of each of several networks from the mean distribution of the others.

    Anil et al. (2018), algorithm 1, but with current predictions, not stale ones. With two networks this is deep mutual
    learning (Zhang et al. 2018, equations 4 and 5). If the networks differ in more than their initial weights, write
    two `kd` terms with '~peer.logits' instead.

    Args:
      student: logits of a network with copies, [copies, ..., num_classes].
      target: the same logits as constants, '~students.logits'.
      t: temperature.
    Returns:
      nats per copy and example, [copies, ...].
    Raises:
      UserError: fewer than two copies, or `student` and `target` have different shapes.
    """
    if student.ndim < 3 or student.shape[0] < 2 or student.shape != target.shape:
        shapes = f'{list(student.shape)} and {list(target.shape)}'
        raise UserError(
            f'student and target must both be the logits of one network with 2 or more copies, not {shapes}'
        )
    each = [kd(own, jnp.concatenate([target[:i], target[i + 1 :]]), t=t) for i, own in enumerate(student)]
    return jnp.stack(each)


def kdcl(
    student: jax.Array, target: jax.Array, labels: jax.Array,
    *, t: Temperature = 2.0, form: Literal['min_logit', 'naive'] = 'min_logit',
) -> jax.Array:  # fmt: skip
    """`kd` from the best prediction that several networks, including the student, give for each example.

    Guo et al. (2020, KDCL), section 3. 'naive' (equation 4) takes the logits of the network with the smallest
    cross-entropy. 'min_logit' (equation 7) shifts each network's logits so that the label's is 0, and takes the minimum
    over the networks for each class; the result is at least as sure of the label as any of them.

    Args:
      student: logits, [..., num_classes], of one network or of each of several.
      target: logits of all networks, [networks, batch, num_classes]: '~students.logits', or a list of paths with '~'.
      labels: integers, [batch].
      t: temperature.
      form: 'min_logit' or 'naive'.
    Returns:
      nats per example, with the leading axes of `student`; NaN where the label is no class.
    Raises:
      UserError: different numbers of classes, or fewer than two networks.
    """
    check_classes(student, target)
    if target.ndim < 3 or target.shape[0] < 2:
        raise UserError(f'target must be the logits of 2 or more networks, not {list(target.shape)}')
    target = wide(target)
    labels, known = class_numbers(labels, target.shape[-1])
    if form == 'naive':
        error = cross_entropy(target, labels)
        best = jnp.take_along_axis(target, jnp.argmin(error, axis=0)[None, ..., None], axis=0)[0]
    else:
        of_label = jnp.take_along_axis(target, jnp.broadcast_to(labels, target.shape[:-1])[..., None], axis=-1)
        best = jnp.min(target - of_label, axis=0)
    best = keep_nan(best, jnp.moveaxis(target, 0, -1))
    return jnp.where(known, kd(student, jnp.broadcast_to(best, student.shape), t=t), jnp.nan)
