"""Models: flax.linen modules that return a dict of named activations, 'logits' among them.

A model's name here is its name in a config; its fields are its options there.
"""

from kd_jax.models.cnn import CNN as cnn
from kd_jax.models.mlp import MLP as mlp

__all__ = ['cnn', 'mlp']
