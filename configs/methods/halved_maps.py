"""A wide ResNet as a teacher of networks that halve their maps in every block."""

import flax.linen as nn
import jax

from kd_jax.models.connectors import resized


class HalvedMaps(nn.Module):
    """Gives a wide ResNet's activations the names and sizes that the blocks of `cnn` have; it has no parameters.

    `cnn` pools after each of its three blocks, and a wide ResNet halves its maps in two of its three stages only. So
    each stage, after the batch norm and ReLU that follow it, is averaged over 2 x 2 positions.
    """

    @nn.compact
    def __call__(
        self,
        block1_pre: jax.Array,
        block2_pre: jax.Array,
        block3_pre: jax.Array,
        features: jax.Array,
        logits: jax.Array,
        *,
        train: bool = False,
    ) -> dict[str, jax.Array]:
        """Args: block1_pre, ...: [batch, h, w, c]. Returns: block1, ...: [batch, ceil(h/2), ceil(w/2), c]; the rest."""
        maps = {'block1': block1_pre, 'block2': block2_pre, 'block3': block3_pre}
        halved = {name: resized(nn.relu(x), (-(-x.shape[1] // 2), -(-x.shape[2] // 2))) for name, x in maps.items()}
        return {**halved, 'features': features, 'logits': logits}
