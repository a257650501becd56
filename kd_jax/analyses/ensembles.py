"""Compares an ensemble of models with its single models."""

import functools
from typing import Any

import numpy as np

from kd_jax.analyses.predictions import Splits, labels_of, log_softmax, logits_of, nll
from kd_jax.analyses.units import states_units


@states_units(
    count='count',
    accuracies='fraction',
    accuracy='fraction',
    accuracy_sd='fraction',
    errors='count',
    nll='nats',
    gain='fraction',
)
def ensemble(logits: Splits, labels: Splits) -> dict[str, Any]:
    """Accuracy of the single models of an ensemble and of their averages.

    Hinton et al. (2015), section 4: ten models that differ only in their random initialisation. Averaging probabilities
    gives the arithmetic mean of the models' distributions; averaging logits gives their renormalised geometric mean.

    Args:
      logits: [models, examples, num_classes] for every split.
      labels: [examples], for the same splits.
    Returns:
      for each split {'members': {'count', 'accuracies', 'accuracy', 'accuracy_sd', 'errors', 'nll'}, 'probabilities':
      {...}, 'logits': {...}}. 'members' has the accuracy of each model, the means over the models, and the sample
      standard deviation of their accuracies (None for a single model). Each average has 'accuracy', 'errors', 'nll' in
      nats, and 'gain': its accuracy minus the models' mean accuracy.
    Raises:
      UserError: malformed arrays, or a split without labels.
    """
    return {split: _scores(*_of(logits, labels, split)) for split in logits}


def _of(logits: Splits, labels: Splits, split: str) -> tuple[np.ndarray, np.ndarray]:
    members = logits_of(logits, split, 'ensemble: logits', axes='models, examples, classes')
    return members, labels_of(labels, split, 'ensemble: labels', members)


def _scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    log_p = log_softmax(logits)
    accuracies = (logits.argmax(axis=-1) == labels).mean(axis=-1)
    mean = float(accuracies.mean())
    members = {
        'count': len(logits),
        'accuracies': accuracies.tolist(),
        'accuracy': mean,
        'accuracy_sd': float(accuracies.std(ddof=1)) if len(logits) > 1 else None,
        'errors': (1.0 - mean) * len(labels),
        'nll': float(np.mean([nll(one, labels) for one in log_p])),
    }
    averages = {
        'probabilities': functools.reduce(np.logaddexp, log_p) - np.log(len(logits)),
        'logits': log_softmax(logits.mean(axis=0)),
    }
    return {'members': members, **{name: _average(log_q, labels, mean) for name, log_q in averages.items()}}


def _average(log_q: np.ndarray, labels: np.ndarray, mean_accuracy: float) -> dict[str, Any]:
    right = log_q.argmax(axis=-1) == labels
    accuracy = float(right.mean())
    return {
        'accuracy': accuracy,
        'errors': int((~right).sum()),
        'nll': nll(log_q, labels),
        'gain': accuracy - mean_accuracy,
    }
