"""Logits of a generalist and its specialists as targets (Hinton et al. 2015, section 5)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.analyses.predictions import checked_classes
from kd_jax.analyses.specialists import checked_oversampling, checked_subsets, combined_logits
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
        Raises:
          UserError: the subset is not `size` different classes of the generalist, or leaves none out.
        """
        count = logits.shape[-1]
        classes = checked_classes(self.subset or range(self.size), count, 'the classes of subset')
        if len(classes) != self.size:
            raise UserError(f'subset has {len(classes)} classes, but size is {self.size}')
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
        Raises:
          UserError: subsets or oversampling do not fit the networks, or are malformed.
        """
        special = jnp.stack(specialists)
        subsets = checked_subsets(
            self.subsets or [range(special.shape[-1] - 1)] * len(specialists), generalist, special
        )
        rates = checked_oversampling(self.oversampling or 1.0, len(specialists))
        special = special.at[..., -1].add(jnp.log(rates)[:, None])
        active = (generalist.argmax(axis=-1)[:, None, None] == subsets).any(axis=-1)
        return {'logits': combined_logits(generalist, special, jnp.asarray(subsets), active, steps=self.steps)}
