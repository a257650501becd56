"""The multilayer perceptron of Hinton et al. (2015), section 3."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from kd_jax.config.hyperparameters import Count, Fraction, NonNegative
from kd_jax.models.layers import Dropout


class MLP(nn.Module):
    """Fully connected ReLU layers with dropout on the inputs and on the hidden units.

    Attributes:
      hidden: units of each hidden layer.
      num_classes: number of classes.
      dropout_input: share of the inputs set to zero in training.
      dropout: share of the hidden units set to zero in training.
      init_sd: standard deviation of the initial hidden weights; 0 means sqrt(2 / fan_in), after He et al. (2015).
    """

    hidden: Sequence[int] = (800, 800)
    num_classes: Count = 10
    dropout_input: Fraction = 0.0
    dropout: Fraction = 0.0
    init_sd: NonNegative = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, ...], flattened. Returns: hidden1, ... [batch, units]; logits [batch, num_classes]."""
        kernel_init = nn.initializers.normal(self.init_sd) if self.init_sd else nn.initializers.he_normal()
        out = {}
        x = x.reshape(x.shape[0], -1)
        x = Dropout(self.dropout_input, deterministic=not train)(x)
        for number, units in enumerate(self.hidden, start=1):
            x = nn.relu(nn.Dense(units, kernel_init=kernel_init, name=f'dense{number}')(x))
            out[f'hidden{number}'] = x
            x = Dropout(self.dropout, deterministic=not train)(x)
        out['logits'] = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01), name='head')(x)
        return out
