"""Relations between predictions: correlations and ranks over classes and examples."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import centred, mean, product, unit, wide
from kd_jax.config.hyperparameters import NonNegative, Positive
from kd_jax.losses.logits import kd
from kd_jax.losses.masks import Mask, pairs, rows, valid
from kd_jax.losses.shape_checks import check_classes, check_logits


def dist(
    student: jax.Array, target: jax.Array, *, t: Positive = 1.0, inter: NonNegative = 1.0, intra: NonNegative = 1.0,
    form: Literal['code', 'paper'] = 'code', where: Mask = None,
) -> jax.Array:  # fmt: skip
    """1 minus Pearson's correlation of softened predictions, over classes and over examples (DIST).

    Huang et al. (2022), equations 6 to 9. The inter-class relation is the correlation of an example's probabilities
    with the teacher's, the intra-class one that of a class's probabilities over the batch. The published code
    multiplies by t^2 ('code'), the paper's pseudocode does not ('paper').

    Args:
      student: logits, [batch, num_classes].
      target: teacher's logits, [batch, num_classes].
      t: temperature.
      inter: weight of the mean over examples (beta in the paper).
      intra: weight of the mean over classes (gamma in the paper).
      form: 'code' or 'paper'.
      where: [batch], which examples count.
    Returns:
      one value.
    Raises:
      UserError: fewer than 2 examples, other numbers of classes, or no logits [batch, num_classes].
    """
    check_logits(student, target)
    counts = valid(student, where)
    p, q = (jax.nn.softmax(rows(array, where) / t) for array in (target, student))
    over_classes = [unit(centred(array, jnp.mean(array, axis=1, keepdims=True), 1)) for array in (p, q)]
    p, q, total = p * counts[:, None], q * counts[:, None], jnp.maximum(jnp.sum(counts), 1.0)
    means = [jnp.sum(array, axis=0) / total * counts[:, None] for array in (p, q)]
    over_examples = [unit(centred(array, mean, 0), axis=0) for array, mean in zip((p, q), means, strict=True)]
    loss = inter * mean(1.0 - jnp.sum(over_classes[0] * over_classes[1], axis=1), counts)
    loss += intra * jnp.mean(1.0 - jnp.sum(over_examples[0] * over_examples[1], axis=0)) * jnp.any(counts > 0)
    return loss * t**2 if form == 'code' else loss


def mlld(
    student: jax.Array, target: jax.Array, *, temperatures: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0, 6.0),
    instance: NonNegative = 1.0, batch: NonNegative = 1.0, classes: NonNegative = 1.0, where: Mask = None,
) -> jax.Array:  # fmt: skip
    """Divergence of examples, and distances of the Gram matrices of examples and of classes (multi-level logits).

    Jin et al. (2023), section 3, summed over temperatures: `kd`; |P P^T - Q Q^T|^2 / batch and
    |P^T P - Q^T Q|^2 / num_classes of the softened probabilities. The paper's augmentation (weak and strong views, and
    a mask of confident examples) belongs to the data and to the term's mask.

    Args:
      student: logits, [batch, num_classes].
      target: teacher's logits, [batch, num_classes].
      temperatures: all above 0.
      instance: weight of `kd`.
      batch: weight of the relations between examples.
      classes: weight of the relations between classes.
      where: [batch], which examples count.
    Returns:
      one value.
    Raises:
      UserError: fewer than 2 examples, other numbers of classes, or no logits [batch, num_classes].
    """
    check_logits(student, target)
    counts = valid(student, where)
    total = jnp.maximum(jnp.sum(counts), 1.0)
    z, v = rows(student, where), rows(target, where)
    loss = jnp.zeros((), z.dtype)
    for t in temperatures:
        q, p = (jax.nn.softmax(logits / t) * counts[:, None] for logits in (z, v))
        loss += instance * mean(kd(z, v, t=t), counts)
        loss += batch * jnp.sum(jnp.square(product(q, q) - product(p, p)) * pairs(counts)) / total
        loss += classes * jnp.sum(jnp.square(product(q.T, q.T) - product(p.T, p.T))) / q.shape[1]
    return loss


def kendall(student: jax.Array, target: jax.Array, *, steepness: Positive = 1.0) -> jax.Array:
    """1 minus a smooth Kendall's tau between the orders in which student and teacher rank the classes.

    Guan et al. (2024), arXiv 2409.17823, whose loss is -tau: the sign of the difference of two logits becomes
    tanh(steepness * difference), here on both sides; the products are averaged over pairs of classes. As steepness
    grows this is Kendall's tau; at any steepness a student gains by agreeing in order. It needs num_classes^2 numbers
    an example.

    Args:
      student: logits, [..., num_classes].
      target: teacher's logits, [..., num_classes].
      steepness: of tanh.
    Returns:
      [...], in [0, 2]; 0 only for a steepness at which every difference saturates.
    Raises:
      UserError: student and teacher have different numbers of classes.
    """
    check_classes(student, target)
    classes = student.shape[-1]

    def signs(logits):
        z = wide(logits)
        return jnp.tanh(steepness * (z[..., :, None] - z[..., None, :]))

    return 1.0 - jnp.sum(signs(student) * signs(target), axis=(-2, -1)) / (classes * (classes - 1))
