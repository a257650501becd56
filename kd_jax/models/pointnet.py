"""Point sets: the strokes of an image as points, and PointNet, which classifies sets of points."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Fraction
from kd_jax.models.layers import Dropout


class StrokePoints(nn.Module):
    """The brightest pixels of an image as a set of points: another modality of the same example.

    It has no parameters. Among equally bright pixels, the first in reading order is chosen. If an image has too few
    bright pixels, its brightest pixel is repeated; this does not change a network that takes the maximum over the set.

    Attributes:
      count: number of points.
      height: whether brightness is a third coordinate.
    """

    count: Count = 128
    height: bool = False

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: image: [batch, h, w(, 1)]. Returns: points, [batch, count, 2 or 3]: x, y in [-1, 1](, brightness)."""
        image = image[..., 0] if image.ndim == 4 else image
        pixels = image.reshape(image.shape[0], -1)
        if image.ndim != 3 or not 1 <= self.count <= pixels.shape[1]:
            raise UserError(f'cannot take {self.count} points from images of shape {list(image.shape[1:])}')
        values, places = jax.lax.top_k(pixels, self.count)
        places = jnp.where(values > 0, places, places[:, :1])
        values = jnp.where(values > 0, values, values[:, :1])
        rows, columns = places // image.shape[2], places % image.shape[2]
        axes = [2 * columns / max(1, image.shape[2] - 1) - 1, 2 * rows / max(1, image.shape[1] - 1) - 1]
        return {'points': jnp.stack([*axes, values] if self.height else axes, axis=-1)}


class PointNet(nn.Module):
    """PointNet without its alignment networks: a perceptron for each point, the maximum over points, and a classifier.

    Qi et al. (2017), section 4.2. The output does not depend on the order of the points.

    Attributes:
      point_units: units of each layer that acts on single points.
      hidden: units of each layer after the maximum.
      num_classes: number of classes.
      dropout: share of the last hidden units set to zero in training.
    """

    point_units: Sequence[int] = (32, 64, 128)
    hidden: Sequence[int] = (64,)
    num_classes: Count = 10
    dropout: Fraction = 0.0

    @nn.compact
    def __call__(self, points: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """Args: points: [batch, points, dim]. Returns: features, [batch, units]; logits, [batch, num_classes]."""
        if points.ndim != 3:
            raise UserError(f'the network needs sets of points [batch, points, dim], not {list(points.shape)}')
        x = points
        for number, units in enumerate(self.point_units, start=1):
            x = nn.relu(nn.Dense(units, kernel_init=nn.initializers.he_normal(), name=f'point{number}')(x))
        out = {'features': (x := jnp.max(x, axis=1))}
        for number, units in enumerate(self.hidden, start=1):
            x = nn.relu(nn.Dense(units, kernel_init=nn.initializers.he_normal(), name=f'dense{number}')(x))
        x = Dropout(self.dropout, deterministic=not train)(x)
        out['logits'] = nn.Dense(self.num_classes, name='head')(x)
        return out
