"""A discriminator that scores how much activations look like a teacher's."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.models.layers import pooled


class Discriminator(nn.Module):
    """Scores how much activations look like a teacher's: a multilayer perceptron with leaky ReLUs.

    Attributes:
      hidden: units of each hidden layer.
    """

    hidden: Sequence[int] = (64,)

    @nn.compact
    def __call__(self, student: jax.Array, target: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: student, target: [batch, dim], or maps to be averaged over space. Returns: student, target: [batch]."""
        if student.shape[-1] != target.shape[-1]:
            raise UserError(
                f'the student has {student.shape[-1]} features and the teacher {target.shape[-1]}: put a connector '
                'between them'
            )
        x = jnp.stack([pooled(array) if array.ndim == 4 else array for array in (student, target)])
        for number, units in enumerate(self.hidden, start=1):
            x = nn.leaky_relu(nn.Dense(units, name=f'dense{number}')(x), 0.2)
        scores = nn.Dense(1, name='score')(x)[..., 0]
        return {'student': scores[0], 'target': scores[1]}
