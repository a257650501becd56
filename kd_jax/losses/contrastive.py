"""Contrastive losses on embeddings: one example in student and teacher, contrasted with other examples."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import product, unit_length, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Positive, Temperature
from kd_jax.losses.masks import Mask, rows, valid
from kd_jax.losses.shape_checks import check_alike, check_batch


def info_nce(student: jax.Array, target: jax.Array, *, t: Temperature = 0.07, where: Mask = None) -> jax.Array:
    """Cross-entropy of finding each example's partner in the other network within the batch (in-batch negatives).

    van den Oord et al. (2018), equation 4, between student and teacher as in CRD (Tian et al. 2020). The scores are
    cosines divided by t. The loss is the mean of two directions: the student as anchor and the teacher as anchor. The
    negatives are all other examples of the batch; under a mesh, of the global batch.

    Args:
      student: embeddings, [batch, dim].
      target: embeddings, [batch, dim].
      t: temperature.
      where: mask, [batch]; > 0 for the examples that serve as anchors and as negatives.
    Returns:
      nats per example, [batch]; log(batch) if all embeddings are equal.
    Raises:
      UserError: fewer than 2 examples, or different dimensions.
    """
    check_batch(student, target)
    check_alike(student, target)
    counts = valid(student, where)
    cosines = product(unit_length(rows(student, where)), unit_length(rows(target, where))) / t
    others = (counts[None, :] > 0) | jnp.eye(len(counts), dtype=bool)

    def missed(scores):
        return jax.nn.logsumexp(jnp.where(others, scores, -jnp.inf), axis=1) - jnp.diagonal(scores)

    return 0.5 * (missed(cosines) + missed(cosines.T)) * counts


def crd(
    student: jax.Array, target: jax.Array, negatives: jax.Array, *, t: Temperature = 0.07, examples: Count,
    form: Literal['per_example', 'constant', 'paper'] = 'per_example', z: Positive = 1.0,
) -> jax.Array:  # fmt: skip
    """Contrastive representation distillation: tells an example's partner in the other network from a bank's negatives.

    Tian et al. (2020), equations 17 to 19: -log h(partner) - sum over negatives of log(1 - h). With N negatives and M
    training examples, h = x / (x + N / M). With 'paper' x = e^(cos / t). The published code divides this by a constant
    z, M times the mean of e^(cos / t) over the first batch, so that the mean of x starts at 1 / M. Without z every h
    starts near 1, which dominates the training. With 'constant' z is given (model 'first_batch_z', as in the published
    code). With 'per_example' it is M times the mean over the negatives of each example, without gradient.

    As in the published code, let `target` be constant (a path with '~', or 'bank_t.entry'): then a term trains only its
    anchors. For the other direction add a second term, with the teacher as `student` and with negatives from the
    student's bank.

    Args:
      student: anchors, [..., dim].
      target: the partners of the anchors, [..., dim].
      negatives: other examples in the partners' network, [..., N, dim] (model 'memory_bank').
      t: temperature.
      examples: M, the number of examples in the bank.
      form: 'per_example', 'constant' or 'paper'.
      z: the constant of 'constant'.
    Returns:
      nats per example, [...].
    Raises:
      UserError: different dimensions.
    """
    check_alike(student, target)
    if negatives.shape[-1] != student.shape[-1] or negatives.ndim != target.ndim + 1:
        raise UserError(
            f'negatives have shape {list(negatives.shape)}, which does not fit embeddings {list(target.shape)}'
        )
    x, y, others = unit_length(wide(student)), unit_length(wide(target)), unit_length(wide(negatives))
    partner = jnp.sum(x * y, axis=-1, keepdims=True) / t
    rest = jnp.sum(x[..., None, :] * others, axis=-1) / t
    count = negatives.shape[-2]
    noise = jnp.log(count / examples)
    if form == 'constant':
        noise += jnp.log(z)
    if form == 'per_example':
        log_z = jnp.log(examples) + jax.nn.logsumexp(rest, axis=-1, keepdims=True) - jnp.log(count)
        noise += jax.lax.stop_gradient(log_z)
    told = jax.nn.log_sigmoid(partner - noise)[..., 0]
    return -told - jnp.sum(jax.nn.log_sigmoid(noise - rest), axis=-1)
