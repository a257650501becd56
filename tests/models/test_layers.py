"""Layers with the conventions of PyTorch."""

import jax
import numpy as np

from kd_jax.models import layers

IMAGES = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)


def test_a_strided_convolution_is_centred_on_the_first_pixel():
    x = IMAGES[..., :1]
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1.0
    out = layers.conv(1, 3, 2, name='conv').apply({'params': {'kernel': kernel}}, x)
    np.testing.assert_array_equal(out, x[:, ::2, ::2])


def test_convolutions_start_with_the_variance_of_the_backward_pass():
    kernel = layers.conv(64, 3, name='conv').init(jax.random.key(0), IMAGES)['params']['kernel']
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (9 * 64)), rtol=0.05)
