"""Analyses: pure functions of a finished run's predictions.

The name of a function here is its name in a config. Positional parameters are paths in a config and arrive as a dict
from split to array; keyword-only parameters are options. `predictions.predicts_again` marks an analysis that computes
the predictions itself, to measure how long that takes. Every analysis returns nested dicts of Python numbers, strings
and lists. A number that is undefined is None. `units.states_units` states the units of the numbers.
"""

from kd_jax.analyses.class_bias import class_bias
from kd_jax.analyses.class_similarity import class_similarity
from kd_jax.analyses.confusable_classes import confusable_classes
from kd_jax.analyses.correct_examples import correct_examples
from kd_jax.analyses.ensembles import ensemble
from kd_jax.analyses.representation_similarity import cka
from kd_jax.analyses.soft_targets import soft_targets
from kd_jax.analyses.specialists import specialists
from kd_jax.analyses.speed import speed

__all__ = [
    'cka',
    'class_bias',
    'class_similarity',
    'confusable_classes',
    'correct_examples',
    'ensemble',
    'soft_targets',
    'specialists',
    'speed',
]
