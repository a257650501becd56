"""Evaluation: families of metrics, and the evaluator that computes them over a split.

The name of a family here is its name in a config (`metrics` of an evaluation). Called on arrays that hold all examples,
a family returns its metrics by name.
"""

from kd_jax.evaluation.classification import classification, positions
from kd_jax.evaluation.embeddings import embeddings
from kd_jax.evaluation.multi_label import multi_label
from kd_jax.evaluation.regression import regression
from kd_jax.evaluation.sequences import sequences

__all__ = ['classification', 'embeddings', 'multi_label', 'positions', 'regression', 'sequences']
