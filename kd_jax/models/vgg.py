"""VGG with batch norm for small images: Simonyan & Zisserman (2015), as Tian et al. (2020) adapt it to CIFAR-100."""

import flax.linen as nn
import jax

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import Count, Repeats
from kd_jax.models.layers import batch_norm, conv, pooled, with_channels

CONVOLUTIONS = {8: (1, 1, 1, 1, 1), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five blocks of 3 x 3 convolutions, 2 x 2 max-pooling between them, global average pooling, a linear classifier.

    Images smaller than 64 x 64 are not pooled before the last block.

    Attributes:
      depth: 8, 11, 13, 16 or 19.
      num_classes: number of classes.
    """

    depth: Repeats = 8
    num_classes: Count = 100

    def __post_init__(self):
        if self.depth not in CONVOLUTIONS:
            known = ', '.join(map(str, CONVOLUTIONS))
            raise UserError(f'depth is {self.depth!r}, but a VGG network here has {known} layers.')
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        """The output of each block before and after its last ReLU (before pooling), and of the layers after the blocks.

        Args:
          x: [batch, height, width(, channels)].
        Returns:
          stem_pre, stem, block1_pre, block1, ... [batch, h, w, c]; features [batch, c]; logits [batch, num_classes].
        """
        x, out = with_channels(x), {}
        large = x.shape[1] >= 64
        names = ('stem', 'block1', 'block2', 'block3', 'block4')
        for name, count, channels in zip(names, CONVOLUTIONS[self.depth], CHANNELS, strict=True):
            if name in ('block1', 'block2', 'block3') or (name == 'block4' and large):
                x = nn.max_pool(x, (2, 2), (2, 2))
            for number in range(count):
                pre = conv(channels, 3, name=f'{name}_conv{number}', bias=True)(x)
                pre = batch_norm(train, name=f'{name}_bn{number}')(pre)
                x = nn.relu(pre)
            out[f'{name}_pre'], out[name] = pre, x
        out['features'] = pooled(x)
        out['logits'] = nn.Dense(self.num_classes, kernel_init=nn.initializers.normal(0.01), name='head')(
            out['features']
        )
        return out

    @staticmethod
    def torch_name(module: str) -> str:
        """Turns 'stem_conv1' into 'block0.3', the name in RepDistiller and mdistiller, which number the ReLUs too."""
        block, _, layer = module.replace('stem', 'block0').partition('_')
        if not layer:
            return 'classifier'
        number = int(layer.removeprefix('conv').removeprefix('bn'))
        return f'{block}.{3 * number + layer.startswith("bn")}'
