"""Augmentation in JAX, keyed by (seed, epoch, example id), so that any view of any example can be drawn again."""

import jax
import jax.numpy as jnp


def example_keys(key: jax.Array, epoch: jax.Array, ids: jax.Array) -> jax.Array:
    """One key an example, [batch], from the run's key, the epoch (a scalar) and the examples' ids [batch]."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.fold_in(key, epoch), ids)


def jitter(images: jax.Array, keys: jax.Array, pixels: int) -> jax.Array:
    """Each image shifted by up to `pixels` in each direction, every shift equally likely, zeros moving in.

    Hinton et al. (2015), section 3: "the input images were jittered by up to two pixels in any direction".

    Args:
      images: [batch, height, width, ...].
      keys: [batch].
      pixels: largest shift along either axis.
    """

    def shift(image, key):
        around = [(pixels, pixels), (pixels, pixels), *[(0, 0)] * (image.ndim - 2)]
        corner = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
        start = (*corner, *[0] * (image.ndim - 2))
        return jax.lax.dynamic_slice(jnp.pad(image, around), start, image.shape)

    return jax.vmap(shift)(images, keys)
