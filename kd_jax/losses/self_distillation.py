"""Losses for a network that learns from its own predictions."""

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import keep_nan, product, weighted, wide
from kd_jax.config.hyperparameters import Fraction, Temperature
from kd_jax.losses.logits import class_numbers, cross_entropy, kd
from kd_jax.losses.masks import Mask, valid
from kd_jax.losses.shape_checks import check_batch, check_classes, check_logits


def class_wise(
    student: jax.Array, target: jax.Array, labels: jax.Array, *, t: Temperature = 4.0, where: Mask = None
) -> jax.Array:
    """`kd` of each example from the mean prediction for the other examples of its class in the batch (CS-KD).

    Class-wise self-distillation (Yun et al. 2020, equation 2, t = 4). The paper samples one other example of the class;
    this loss averages over those in the batch, so the batch should be larger than the number of classes. An example
    without another of its class in the batch gives 0.

    Args:
      student: logits, [batch, num_classes].
      target: the same logits as constants, '~student.logits'.
      labels: integers, [batch].
      t: temperature.
      where: mask, [batch]; > 0 for the examples that learn and teach.
    Returns:
      nats per example, [batch].
    Raises:
      UserError: fewer than 2 examples, different numbers of classes, or not one label per example.
    """
    check_logits(student, target)
    check_batch(student, labels)
    counts = valid(student, where)
    same = (labels[:, None] == labels[None, :]) & ~jnp.eye(len(labels), dtype=bool)
    same = same * counts[:, None] * counts[None, :]
    others = jnp.sum(same, axis=1)
    taught = (others > 0)[:, None]
    said = jnp.where(counts[:, None] > 0, jax.nn.softmax(wide(target) / t), 0.0)
    mean = product(same, said.T) / jnp.where(taught, others[:, None], 1.0)
    # Logits from which softening by `kd` recovers this mean.
    none = taught & (mean == 0)
    wanted = jnp.where(none, -jnp.inf, t * jnp.log(jnp.where(none | ~taught, 1.0, mean)))
    own = jnp.where(counts > 0, jnp.sum(student + target, axis=-1), 0.0)
    return keep_nan(jnp.where(taught[:, 0], kd(jnp.where(taught, student, 0.0), wanted, t=t), 0.0), own)


def progressive(
    logits: jax.Array, target: jax.Array, known: jax.Array, labels: jax.Array, *, alpha: Fraction = 0.8
) -> jax.Array:
    """Cross-entropy to a mixture: (1 - alpha) of the label and alpha of the network's own earlier prediction (PS-KD).

    Progressive self-knowledge distillation (Kim et al. 2021, equation 6). There alpha grows linearly from 0 to 0.8
    during training, and `target` is the prediction of the previous epoch (model 'recall'). Without an earlier
    prediction, as in the first epoch, the target is the label alone, as in the published code.

    Args:
      logits: [..., num_classes].
      target: earlier logits, [..., num_classes].
      known: > 0 if there are earlier logits, [...].
      labels: integers, as in `cross_entropy`.
      alpha: share of the earlier prediction in the target; usually a schedule that starts at 0.
    Returns:
      nats per example, [...]; NaN where the label is no class.
    Raises:
      UserError: different numbers of classes.
    """
    check_classes(logits, target)
    labels, are_classes = class_numbers(labels, logits.shape[-1])
    own = cross_entropy(logits, jax.nn.softmax(wide(target)))
    share = jnp.where(known > 0, alpha, 0.0)
    mixed = (1.0 - share) * cross_entropy(logits, labels) + weighted(share, own)
    return jnp.where(are_classes, mixed, jnp.nan)
