"""The generator of images."""

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax import models

KEY = jax.random.key(0)


def test_a_generator_reads_only_the_shape_of_the_images():
    generator = models.generator(dim=3, channels=4)
    like = jnp.zeros((2, 8, 12, 3))
    variables = generator.init({'params': KEY, 'dropout': KEY}, like)
    one, other = (generator.apply(variables, x, rngs={'dropout': KEY}) for x in (like, jnp.full(like.shape, jnp.nan)))
    np.testing.assert_array_equal(one['image'], other['image'])
    assert one['image'].shape == like.shape
    assert np.all((one['image'] > 0) & (one['image'] < 1))
    grey = generator.init_with_output({'params': KEY, 'dropout': KEY}, like[..., 0])[0]
    assert grey['image'].shape == (2, 8, 12)
    odd = generator.init_with_output({'params': KEY, 'dropout': KEY}, like[:, :7, :10])[0]
    assert odd['image'].shape == (2, 7, 10, 3)
