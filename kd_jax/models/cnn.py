"""A small convolutional network for small images."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.arrays.numerics import max_pooled
from kd_jax.config.hyperparameters import Count, Fraction
from kd_jax.models.layers import Dropout


class CNN(nn.Module):
    """Blocks of a 3 x 3 convolution, ReLU and 2 x 2 max-pooling; then global average pooling and a linear classifier.

    Attributes:
      channels: output channels of each block.
      num_classes: number of classes.
      dropout: share of the pooled features set to zero in training.
    """

    channels: Sequence[int] = (16, 32, 64)
    num_classes: Count = 10
    dropout: Fraction = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: x: [batch, height, width(, channels)]. Returns: block1, ... [batch, h, w, c]; features; logits."""
        if x.ndim == 3:
            x = x[..., None]
        out = {}
        for number, channels in enumerate(self.channels, start=1):
            x = nn.relu(nn.Conv(channels, (3, 3), kernel_init=nn.initializers.he_normal(), name=f'conv{number}')(x))
            x = max_pooled(x, (-(-x.shape[1] // 2), -(-x.shape[2] // 2)))
            out[f'block{number}'] = x
        out['features'] = jnp.mean(x, axis=(1, 2))
        x = Dropout(self.dropout, deterministic=not train)(out['features'])
        out['logits'] = nn.Dense(self.num_classes, name='head')(x)
        return out
