"""The k largest probabilities of a teacher: a network without parameters between the teacher and a term."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import log_tail
from kd_jax.config.hyperparameters import Count, Temperature


class TopK(nn.Module):
    """The k largest log-probabilities at temperature t and that of all other classes: targets of `losses.kd_top_k`.

    In a config: `dict(model='top_k', input='teacher.logits', update='frozen', k=16, t=4.0)`. A teacher cache then
    records these k + 1 numbers instead of all logits.

    Attributes:
      k: number of classes kept.
      t: temperature.
    """

    k: Count = 16
    t: Temperature = 1.0

    @nn.compact
    def __call__(self, logits: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: logits: [..., num_classes].

        Returns:
          log_probs: log-probabilities of the k classes, largest first, then of all others together, [..., k + 1].
          classes: the k classes, [..., k], in the smallest unsigned integer type that holds num_classes.
          t: the temperature, [...].
        """
        num_classes = logits.shape[-1]
        if not 0 < self.k <= num_classes:
            raise ValueError(f'k is {self.k}, but must lie between 1 and the {num_classes} classes')
        if self.t <= 0:
            raise ValueError(f't is {self.t:g}, but must be greater than 0')
        log_p = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)) / self.t)
        top, classes = jax.lax.top_k(log_p, self.k)
        small = next(kind for kind in (jnp.uint8, jnp.uint16, jnp.uint32) if num_classes <= jnp.iinfo(kind).max + 1)
        return {
            'log_probs': jnp.concatenate([top, log_tail(log_p, classes)], axis=-1),
            'classes': classes.astype(small),
            't': jnp.full(logits.shape[:-1], self.t, jnp.float32),
        }
