"""A small encoder, its weights, and tokens for it."""

import numpy as np

from kd_jax.language.encoder import Encoder

SIZES = dict(vocabulary=13, width=12, layers=2, heads=3, mlp_width=10, window=8)
TOKENS = np.random.default_rng(0).integers(0, 13, size=(2, 7)).astype(np.int32)
SEGMENT = np.array([[1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 1, 0, 0]], np.int32)


def encoder(**options):
    return Encoder(**{**SIZES, **options})
