"""Relations between predictions: correlations and rankings over classes and over examples."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import centred, mean, product, unit_length, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import NonNegative, Positive, Temperature, check_option
from kd_jax.losses.logits import kd
from kd_jax.losses.masks import Mask, pair_mask, rows, valid
from kd_jax.losses.shape_checks import check_classes, check_logits


def dist(
    student: jax.Array, target: jax.Array, *, t: Temperature = 1.0, inter: NonNegative = 1.0, intra: NonNegative = 1.0,
    form: Literal['code', 'paper'] = 'code', where: Mask = None,
) -> jax.Array:  # fmt: skip
    """1 minus Pearson's correlation of the softened predictions, over classes and over examples (DIST).

    Huang et al. (2022), equations 6 to 9. The inter-class relation correlates the student's probabilities with the
    teacher's over the classes of one example; the intra-class relation does so over the examples of one class. 'code'
    multiplies by t^2 as the published code does; 'paper' does not.

    Args:
      student: logits, [batch, num_classes].
      target: teacher's logits, [batch, num_classes].
      t: temperature.
      inter: weight of the inter-class relation, averaged over examples (beta in the paper).
      intra: weight of the intra-class relation, averaged over classes (gamma in the paper).
      form: 'code' or 'paper'.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch.
    Raises:
      UserError: fewer than 2 examples, different numbers of classes, or shapes other than [batch, num_classes].
    """
    check_logits(student, target)
    counts = valid(student, where)
    p, q = (jax.nn.softmax(rows(array, where) / t) for array in (target, student))
    over_classes = [unit_length(centred(array, jnp.mean(array, axis=1, keepdims=True), 1)) for array in (p, q)]
    p, q, total = p * counts[:, None], q * counts[:, None], jnp.maximum(jnp.sum(counts), 1.0)
    means = [jnp.sum(array, axis=0) / total * counts[:, None] for array in (p, q)]
    over_examples = [unit_length(centred(array, mean, 0), axis=0) for array, mean in zip((p, q), means, strict=True)]
    loss = inter * mean(1.0 - jnp.sum(over_classes[0] * over_classes[1], axis=1), counts)
    loss += intra * jnp.mean(1.0 - jnp.sum(over_examples[0] * over_examples[1], axis=0)) * jnp.any(counts > 0)
    return loss * t**2 if form == 'code' else loss


def mlld(
    student: jax.Array, target: jax.Array, *, temperatures: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0, 6.0),
    instance: NonNegative = 1.0, batch: NonNegative = 1.0, classes: NonNegative = 1.0, where: Mask = None,
) -> jax.Array:  # fmt: skip
    """`kd` plus distances between Gram matrices over examples and over classes (multi-level logit distillation).

    Jin et al. (2023), section 3. For P and Q, the softened probabilities of teacher and student, it sums over
    temperatures: `kd`, |P P^T - Q Q^T|^2 / batch and |P^T P - Q^T Q|^2 / num_classes. The paper's weak and strong
    augmentation and its mask of confident examples are not part of the loss: configure them as augmentation and as the
    term's mask.

    Args:
      student: logits, [batch, num_classes].
      target: teacher's logits, [batch, num_classes].
      temperatures: temperatures to sum over, at least one, each between 1e-6 and 1e6.
      instance: weight of `kd`.
      batch: weight of the relations between examples.
      classes: weight of the relations between classes.
      where: mask, [batch]; > 0 for the examples that count.
    Returns:
      one value for the batch.
    Raises:
      UserError: fewer than 2 examples, different numbers of classes, shapes other than [batch, num_classes], or
        `temperatures` is empty or holds one that is out of range.
    """
    check_logits(student, target)
    if not temperatures:
        raise UserError('temperatures is empty, but mlld sums over at least one: name some, such as (2.0, 4.0)')
    for t in temperatures:
        check_option(float(t), Temperature, 'temperatures')
    counts = valid(student, where)
    total = jnp.maximum(jnp.sum(counts), 1.0)
    z, v = rows(student, where), rows(target, where)
    loss = jnp.zeros((), z.dtype)
    for t in temperatures:
        q, p = (jax.nn.softmax(logits / t) * counts[:, None] for logits in (z, v))
        loss += instance * mean(kd(z, v, t=t), counts)
        loss += batch * jnp.sum(jnp.square(product(q, q) - product(p, p)) * pair_mask(counts)) / total
        loss += classes * jnp.sum(jnp.square(product(q.T, q.T) - product(p.T, p.T))) / q.shape[1]
    return loss


def kendall(student: jax.Array, target: jax.Array, *, steepness: Positive = 1.0) -> jax.Array:
    """1 minus a smooth Kendall's tau between the rankings of the classes by student and teacher.

    Guan et al. (2024), arXiv 2409.17823, where the loss is -tau. On both sides tanh(steepness * difference) replaces
    the sign of the difference of two logits. The products are averaged over pairs of classes, without classes whose
    logit is -inf on either side. The limit of a large steepness is Kendall's tau. Memory: num_classes^2 numbers per
    example.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes].
      steepness: factor inside tanh.
    Returns:
      [...], in [0, 2]; 0 is reached only if the rankings agree and tanh saturates for every difference.
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    check_classes(student, target)
    exist = ~(jnp.isneginf(student) | jnp.isneginf(target))
    pairs = exist[..., :, None] & exist[..., None, :]
    classes = jnp.sum(exist, axis=-1)

    def signs(logits):
        z = jnp.where(exist, wide(logits), 0.0)
        return jnp.tanh(steepness * (z[..., :, None] - z[..., None, :]))

    agreement = jnp.sum(jnp.where(pairs, signs(student) * signs(target), 0.0), axis=(-2, -1))
    return 1.0 - agreement / jnp.maximum(classes * (classes - 1), 1)
