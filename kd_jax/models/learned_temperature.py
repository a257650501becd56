"""A learned temperature."""

import flax.linen as nn
import jax

from kd_jax.config.hyperparameters import NonNegative, Positive


class Temperature(nn.Module):
    """A learned temperature, one for all examples: CTKD's, in its global form (Li et al. 2023); numbers of its code.

    least + span * sigmoid(a), where a is trained and at first 1. A term reads it as a number, t='~temperature.t'; from
    a second term, of negative weight and with t='temperature.t', it learns to make the first one hard.

    Attributes:
      least: the temperature is greater.
      span: and smaller than least + span.
    """

    least: NonNegative = 1.0
    span: Positive = 20.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: anything; it is not read. Returns: t, []."""
        return {'t': self.least + self.span * nn.sigmoid(self.param('a', nn.initializers.ones, ()))}
