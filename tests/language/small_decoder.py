"""A small decoder with grouped queries and biases, its weights, and tokens for it."""

import jax
import numpy as np

from kd_jax.language.decoder import Decoder

SIZES = dict(vocabulary=13, width=12, layers=2, heads=4, kv_heads=2, head_dim=4, mlp_width=10, window=32)
TOKENS = np.random.default_rng(0).integers(0, 13, size=(2, 7)).astype(np.int32)


def decoder(**options):
    return Decoder(**{**SIZES, 'qkv_bias': True, 'tied': False, **options})


def weights(module, sd=0.5):
    """Random values for every weight, so that none is 0 or 1 as it is at the start."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: rng.normal(0.1, sd, a.shape).astype(a.dtype), shapes)


def applied(module, variables, *inputs):
    return jax.jit(module.apply)(variables, *inputs)
