"""Logits of a generalist and its specialists as targets (Hinton et al. 2015, section 5)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.analyses.specialists import combined_logits
from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count


class SubsetLogits(nn.Module):
    """What a generalist says of a specialist's classes: their logits, and one for all other classes together.

    In a config: `dict(model='subset_logits', input='teacher.logits', update='frozen', size=20, subset='result:...')`.

    Attributes:
      size: number of classes of the specialist.
      subset: its classes; () for the first `size` classes.
    """

    size: Count
    subset: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, logits: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: logits: [..., num_classes].

        Returns:
          logits: [..., size + 1], whose softmax is the generalist's with the other classes added up in the last entry.
        """
        classes, count = np.asarray(self.subset or range(self.size)), logits.shape[-1]
        if len(set(classes.tolist())) != self.size or classes.min() < 0 or classes.max() >= count or self.size >= count:
            raise UserError(f'subset must have {self.size} different classes of the {count}, and leave some out')
        outside = np.ones(count, bool)
        outside[classes] = False
        rest = jax.nn.logsumexp(logits, axis=-1, keepdims=True, where=outside)
        return {'logits': jnp.concatenate([logits[..., classes], rest], axis=-1)}


class CombinedExperts(nn.Module):
    """The prediction of a generalist and its specialists together, as the analysis `specialists` computes it.

    In a config: `dict(model='combined_experts', input=['generalist.logits', 's0.logits', 's1.logits'],
    update='frozen', subsets='result:...', oversampling=['result:...', 'result:...'])`. A student of its logits is the
    specialists distilled back into one network, which section 8 leaves open.

    Attributes:
      subsets: the classes of each specialist; () for the first classes.
      oversampling: how many times more often the classes of each specialist were drawn in its training; () for once.
      steps: steps of gradient descent for each batch.
    """

    subsets: Sequence[Sequence[int]] = ()
    oversampling: Sequence[float] = ()
    steps: Count = 50

    @nn.compact
    def __call__(self, generalist: jax.Array, *specialists: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """Args: generalist: logits, [batch, num_classes]; specialists: of each, [batch, size + 1].

        Returns:
          logits: [batch, num_classes]; the generalist's where its most probable class is in no subset.
        """
        size = specialists[0].shape[-1] - 1
        subsets = np.asarray(self.subsets or [range(size)] * len(specialists))
        if subsets.shape != (len(specialists), size):
            raise UserError(
                f'subsets have shape {subsets.shape}, but there are {len(specialists)} specialists of {size} classes'
            )
        rates = jnp.log(jnp.asarray(self.oversampling or (1.0,) * len(specialists)))
        special = jnp.stack(specialists)
        special = special.at[..., -1].add(rates[:, None])
        active = (generalist.argmax(axis=-1)[:, None, None] == subsets).any(axis=-1)
        return {'logits': combined_logits(generalist, special, jnp.asarray(subsets), active, steps=self.steps)}
