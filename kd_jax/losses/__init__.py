"""Losses: pure functions from activations to one value an example. A function's name here is its name in a config.

Positional parameters are paths in a config, keyword-only ones are hyperparameters. A loss that compares examples with
each other takes arrays that lead with the batch, and the term's mask as the keyword `where`.
"""

from kd_jax.losses.features import (
    activation_boundaries,
    attention_transfer,
    cosine,
    factor_transfer,
    hierarchical_context,
    nst,
    ofd,
    vid,
)
from kd_jax.losses.layers import fsp, ickd, kdsvd
from kd_jax.losses.logits import cross_entropy, kd, mse
from kd_jax.losses.relations import (
    cka,
    correlation_congruence,
    pkt,
    rkd_angle,
    rkd_distance,
    similarity_preserving,
)
from kd_jax.losses.top_k import kd_top_k

__all__ = [
    'activation_boundaries', 'attention_transfer', 'cka', 'correlation_congruence', 'cosine', 'cross_entropy',
    'factor_transfer', 'fsp', 'hierarchical_context', 'ickd', 'kd', 'kd_top_k', 'kdsvd', 'mse', 'nst', 'ofd', 'pkt',
    'rkd_angle', 'rkd_distance', 'similarity_preserving', 'vid',
]  # fmt: skip
