"""Similarities between classes in a teacher's and a student's predictions."""

from typing import Any

import numpy as np

from kd_jax.analyses.predictions import Splits, labels_of, log_softmax, logits_of
from kd_jax.analyses.units import states_units
from kd_jax.config.errors import UserError


@states_units(runner_up_agreement='fraction')
def class_similarity(
    teacher: Splits, student: Splits, labels: Splits, *, t: float = 4.0, split: str = 'test'
) -> dict[str, Any]:
    """How similar the classes are in the teacher's soft targets, and how well the student reproduces this.

    Hinton et al. (2015), section 1: the ratios of very small probabilities hold a similarity structure of the data. Row
    i of a matrix is the mean prediction at temperature `t` over the examples of class i. The entry of class i itself is
    removed and the rest is renormalised, so a row shows how the probability of wrong classes is distributed.

    Args:
      teacher: logits, [examples, num_classes].
      student: logits, [examples, num_classes].
      labels: [examples].
      t: temperature for teacher and student.
      split: the split whose examples are used.
    Returns:
      'teacher' and 'student': matrices [num_classes][num_classes] with 0 on the diagonal and rows of sum 1 (zeros for a
      class without examples). 'correlation': Pearson's correlation of the two matrices, over the off-diagonal entries
      in the rows of classes with examples (None if a matrix is constant there, up to rounding). 'runner_up_agreement':
      the share of examples for which teacher and student have the same most probable wrong class.
    Raises:
      UserError: malformed arrays, or a temperature that is not positive.
    """
    if t <= 0:
        raise UserError(f'class_similarity: t is {t:g}, but must be greater than 0.')
    logits = {
        'teacher': logits_of(teacher, split, 'class_similarity: teacher'),
        'student': logits_of(student, split, 'class_similarity: student'),
    }
    if logits['teacher'].shape != logits['student'].shape:
        raise UserError(
            f'class_similarity: the teacher has logits of shape {logits["teacher"].shape}, '
            f'but the student has logits of shape {logits["student"].shape}.'
        )
    true = labels_of(labels, split, 'class_similarity: labels', logits['teacher'])
    matrices = {name: _spread(values / t, true) for name, values in logits.items()}
    rows = np.isin(np.arange(len(matrices['teacher'])), true)
    off_diagonal = rows[:, None] & ~np.eye(len(rows), dtype=bool)
    runner_up = [_wrong_only(values, true).argmax(axis=-1) for values in logits.values()]
    return {
        **{name: matrix.tolist() for name, matrix in matrices.items()},
        'correlation': _correlation(matrices['teacher'][off_diagonal], matrices['student'][off_diagonal]),
        'runner_up_agreement': float((runner_up[0] == runner_up[1]).mean()),
    }


def _spread(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    num_classes = logits.shape[-1]
    of_class = np.eye(num_classes)[labels]
    total = of_class.T @ np.exp(log_softmax(logits))
    np.fill_diagonal(total, 0.0)
    mass = total.sum(axis=-1, keepdims=True)
    return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)


def _wrong_only(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    wrong = logits.copy()
    wrong[np.arange(len(labels)), labels] = -np.inf
    return wrong


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    noise = [16 * np.finfo(float).eps * np.linalg.norm(matrix) for matrix in (a, b)]
    a, b = a - a.mean(), b - b.mean()
    if np.linalg.norm(a) <= noise[0] or np.linalg.norm(b) <= noise[1]:
        return None
    return float(a @ b) / float(np.sqrt((a @ a) * (b @ b)))
