"""A generator of images from noise, for distillation without data."""

import flax.linen as nn
import jax

from kd_jax.config.hyperparameters import Count
from kd_jax.models.layers import batch_norm, conv


class Generator(nn.Module):
    """Generates images from noise: starts at a quarter of the size and doubles it twice.

    The generator of DAFL (Chen et al. 2019, section 4), after DCGAN. It reads images only for their number and shape,
    never for their values. In evaluation the noise is always the same.

    Attributes:
      dim: dimension of the noise.
      channels: channels of the first maps; the last maps have half as many.
    """

    dim: Count = 100
    channels: Count = 64

    @nn.compact
    def __call__(self, like: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: like: [batch, height, width(, c)]. Returns: image, shaped as `like`, in [0, 1]; noise [batch, dim]."""
        height, width = like.shape[1:3]
        noise = jax.random.normal(self.make_rng('dropout'), (like.shape[0], self.dim))
        small = (like.shape[0], -(-height // 4), -(-width // 4), self.channels)
        x = nn.Dense(small[1] * small[2] * small[3], name='dense')(noise).reshape(small)
        x = batch_norm(train, name='norm0')(x)
        for number, channels in ((1, self.channels), (2, max(1, self.channels // 2))):
            x = jax.image.resize(x, (x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3]), 'nearest')
            x = conv(channels, 3, bias=True, name=f'conv{number}')(x)
            x = nn.leaky_relu(batch_norm(train, name=f'norm{number}')(x), 0.2)
        x = conv(like.shape[3] if like.ndim == 4 else 1, 3, bias=True, name='out')(x[:, :height, :width])
        return {'image': nn.sigmoid(x).reshape(like.shape), 'noise': noise}
