"""What analyses read: a split of a run's predictions, checked, or a function that predicts again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from kd_jax.config.errors import UserError, suggest

Splits = Mapping[str, np.ndarray]
# Computes the predictions of the first n examples of a split, and waits for them: [examples, *stacked copies, ...].
Predict = Callable[[int], Any]
Analysis = TypeVar('Analysis', bound=Callable[..., Any])


def predicts_again(analysis: Analysis) -> Analysis:
    """A decorator: the analysis gets for each path a dict from split to `Predict` in place of arrays."""
    analysis.__dict__['predicts_again'] = True
    return analysis


def split_of(arrays: Splits, split: str, what: str) -> np.ndarray:
    """The array of `split`; `what` names the arrays in messages ('class_bias: logits').

    Raises:
      UserError: there is no such split.
    """
    if split not in arrays:
        raise UserError(f'{what} have no split {split!r}. {suggest(split, arrays)}')
    return np.asarray(arrays[split])


def logits_of(arrays: Splits, split: str, what: str, axes: str = 'examples, classes') -> np.ndarray:
    """The logits of `split` in float64.

    Args:
      arrays: the logits of every split.
      split: the split to take.
      what: names the logits in messages ('class_bias: logits').
      axes: names of the axes that the logits must have, for messages.
    Raises:
      UserError: there is no such split, the logits do not have these axes, the array is empty, or a logit is not
        finite.
    """
    logits = split_of(arrays, split, what).astype(np.float64)
    if logits.ndim != axes.count(',') + 1 or not logits.size:
        raise UserError(f'{what} of split {split!r} have shape {logits.shape}, but [{axes}] is needed.')
    if not np.isfinite(logits).all():
        raise UserError(f'{what} of split {split!r} contain NaN or infinity: the run that computed them diverged.')
    return logits


def labels_of(arrays: Splits, split: str, what: str, logits: np.ndarray) -> np.ndarray:
    """The labels of `split`, [examples], for logits of shape [..., examples, classes].

    Raises:
      UserError: there is no such split, the number of examples differs, or a label is outside the classes.
    """
    labels = split_of(arrays, split, what)
    examples, classes = logits.shape[-2:]
    if labels.shape != (examples,):
        raise UserError(f'{what} of split {split!r} have shape {labels.shape}, but there are {examples} predictions.')
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(f'{what} of split {split!r} lie in {labels.min()}..{labels.max()}, outside 0..{classes - 1}.')
    return labels.astype(np.int64)


def checked_classes(classes: Sequence[int], num_classes: int, what: str, *, all_allowed: bool = False) -> np.ndarray:
    """`classes` as an array of distinct class numbers; at least one, and not all classes unless `all_allowed`.

    Raises:
      UserError: `classes` is anything else.
    """
    chosen = np.asarray(classes)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer):
        raise UserError(f'{what} must be a list of class numbers, not {classes!r}.')
    if chosen.min() < 0 or chosen.max() >= num_classes:
        raise UserError(f'{what} are {chosen.tolist()}, but classes are numbered 0..{num_classes - 1}.')
    if len(set(chosen.tolist())) < len(chosen) or (len(chosen) == num_classes and not all_allowed):
        some = 'classes' if all_allowed else f'some of the {num_classes} classes, not all, and'
        raise UserError(f'{what} are {chosen.tolist()}: name {some} each once.')
    return chosen


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def nll(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the labels, in nats.

    Args:
      log_probabilities: [examples, classes].
      labels: [examples].
    """
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
