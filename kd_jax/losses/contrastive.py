"""Contrastive losses on embeddings: the same example in student and teacher against other examples."""

from typing import Literal

import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import product, unit, wide
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Positive
from kd_jax.losses.masks import Mask, rows, valid
from kd_jax.losses.shape_checks import check_alike, check_batch


def info_nce(student: jax.Array, target: jax.Array, *, t: Positive = 0.07, where: Mask = None) -> jax.Array:
    """Cross-entropy of finding an example's partner in the other network among the batch (CRD, in-batch negatives).

    van den Oord et al. (2018), equation 4, as Tian et al. (2020) compare student and teacher: cosines over t, with
    the student as anchor and with the teacher as anchor, averaged. Negatives are all other examples of the batch, of
    the global one under a mesh.

    Args:
      student: embeddings, [batch, dim].
      target: embeddings, [batch, dim].
      t: temperature.
      where: [batch], which examples are anchors and negatives.
    Returns:
      nats per example, [batch], at most log(batch) on average for embeddings that know nothing.
    Raises:
      UserError: fewer than 2 examples, or dimensions that differ.
    """
    check_batch(student, target)
    check_alike(student, target)
    counts = valid(student, where)
    cosines = product(unit(rows(student, where)), unit(rows(target, where))) / t
    others = (counts[None, :] > 0) | jnp.eye(len(counts), dtype=bool)

    def missed(scores):
        return jax.nn.logsumexp(jnp.where(others, scores, -jnp.inf), axis=1) - jnp.diagonal(scores)

    return 0.5 * (missed(cosines) + missed(cosines.T)) * counts


def crd(
    student: jax.Array, target: jax.Array, negatives: jax.Array, *, t: Positive = 0.07, examples: int,
    form: Literal['code', 'paper'] = 'code',
) -> jax.Array:  # fmt: skip
    """Telling an example's partner in the other network from others of a memory bank (CRD).

    Tian et al. (2020), equations 17 to 19: -log h(partner) - sum over negatives of log(1 - h), with
    h = x / (x + N / M), N negatives, M training examples. In the paper x = e^(cos / t). The published code divides that
    by a constant Z that makes the mean of x about 1 / M, estimated on the first batch; without it every h starts near 1
    and training is all about that. Here Z is estimated on the negatives of each example, and no gradient passes it. In
    the code partners are what the bank has of them, '~' or 'bank_t.entry', so that a term trains its anchors alone. For
    the other direction a second term takes the teacher as `student` and negatives from the student's bank.

    Args:
      student: anchors, [..., dim].
      target: their partners, [..., dim].
      negatives: other examples in the partners' network, [..., N, dim] (model 'memory_bank').
      t: temperature.
      examples: M, how many the bank holds.
      form: 'code' or 'paper'.
    Returns:
      nats per example, [...].
    Raises:
      UserError: dimensions that differ.
    """
    check_alike(student, target)
    if negatives.shape[-1] != student.shape[-1] or negatives.ndim != target.ndim + 1:
        raise UserError(f'negatives are {list(negatives.shape)}, but the embeddings {list(target.shape)}')
    x, y, others = unit(wide(student)), unit(wide(target)), unit(wide(negatives))
    partner = jnp.sum(x * y, axis=-1, keepdims=True) / t
    rest = jnp.sum(x[..., None, :] * others, axis=-1) / t
    count = negatives.shape[-2]
    noise = jnp.log(count / examples)
    if form == 'code':
        log_z = jnp.log(examples) + jax.nn.logsumexp(rest, axis=-1, keepdims=True) - jnp.log(count)
        noise += jax.lax.stop_gradient(log_z)
    told = jax.nn.log_sigmoid(partner - noise)[..., 0]
    return -told - jnp.sum(jax.nn.log_sigmoid(noise - rest), axis=-1)
