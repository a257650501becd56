"""Losses: pure functions from activations to one value per example.

The name of a function here is its name in a config. Its positional parameters are paths in a config; its keyword-only
parameters are hyperparameters. A loss that compares examples with each other takes arrays whose first axis is the
batch, and receives the term's mask as the keyword `where`.
"""

from kd_jax.losses.adversarial import class_imbalance, deceive, inactivity, judge
from kd_jax.losses.contrastive import crd, info_nce
from kd_jax.losses.decoupled_kd import dkd
from kd_jax.losses.divergences import jsd, reverse_kl, reverse_skew_kl, skew_kl, total_variation
from kd_jax.losses.example_relations import (
    cka,
    correlation_congruence,
    pkt,
    rkd_angle,
    rkd_distance,
    similarity_preserving,
)
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
from kd_jax.losses.layer_relations import fsp, ickd, kdsvd
from kd_jax.losses.logits import cross_entropy, hard_kd, kd, mse, teacher_free
from kd_jax.losses.multi_label import bce, bce_kd
from kd_jax.losses.mutual_learning import codistillation, kdcl
from kd_jax.losses.prediction_relations import dist, kendall, mlld
from kd_jax.losses.self_distillation import class_wise, progressive
from kd_jax.losses.several_teachers import confident_kd, gated_kd
from kd_jax.losses.token_relations import token_relations
from kd_jax.losses.top_k_kd import kd_top_k, rank_top_k
from kd_jax.losses.vocabularies import sorted_distance

__all__ = [
    'activation_boundaries', 'attention_transfer', 'bce', 'bce_kd', 'cka', 'class_imbalance', 'class_wise',
    'codistillation', 'confident_kd', 'correlation_congruence', 'cosine', 'crd', 'cross_entropy', 'deceive', 'dist',
    'dkd', 'factor_transfer', 'fsp', 'gated_kd', 'hard_kd', 'hierarchical_context', 'ickd', 'inactivity', 'info_nce',
    'jsd', 'judge', 'kd', 'kd_top_k', 'kdcl', 'kdsvd', 'kendall', 'mlld', 'mse', 'nst', 'ofd', 'pkt', 'progressive',
    'rank_top_k', 'reverse_kl', 'reverse_skew_kl', 'rkd_angle', 'rkd_distance', 'similarity_preserving', 'skew_kl',
    'sorted_distance', 'teacher_free', 'token_relations', 'total_variation', 'vid',
]  # fmt: skip
