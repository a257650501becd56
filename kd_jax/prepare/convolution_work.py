"""Estimates how long the convolutions of a training step take."""

import math

import jax

from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.paths import Context
from kd_jax.core.recipe import Recipe


def convolution_work(recipe: Recipe, context: Context) -> int:
    """An upper bound of the multiply-adds of all convolutions over images in one forward pass of a batch.

    It assumes that every kernel is applied at every pixel of the largest image or activation, without strides.

    Args:
      recipe: the networks; frozen ones count, too.
      context: the shapes of all that a path can read in training.
    Returns:
      multiply-adds; 0 only if no network has a convolution over images.
    """
    kernels = [
        kernel.size
        for network in recipe.networks
        for kernel in network.convolution_kernels(network_shapes(network, context)[0])
    ]
    # [batch, height, width] or [..., batch, height, width, channels]
    maps = [array.shape[-4:-1] if array.ndim > 3 else array.shape for array in jax.tree.leaves(context)]
    return sum(kernels) * max((math.prod(shape) for shape in maps if len(shape) == 3), default=1)
