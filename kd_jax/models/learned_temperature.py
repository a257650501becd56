"""A learned temperature (CTKD)."""

import flax.linen as nn
import jax

from kd_jax.config.hyperparameters import NonNegative, Positive


class Temperature(nn.Module):
    """One learned temperature for all examples: the global form of CTKD (Li et al. 2023), with defaults of its code.

    The temperature is least + span * sigmoid(a), where a is trained and initially 1. A term reads it as a number,
    t='~temperature.t'. A second term with a negative weight and t='temperature.t' trains it to make the first term's
    loss large.

    Attributes:
      least: lower bound of the temperature.
      span: difference between upper and lower bound.
    """

    least: NonNegative = 1.0
    span: Positive = 20.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: any array; its values are not used. Returns: t, []."""
        return {'t': self.least + self.span * nn.sigmoid(self.param('a', nn.initializers.ones, ()))}
