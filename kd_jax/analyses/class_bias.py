"""Corrects the bias of classes that were missing from the transfer set (Hinton et al. 2015, section 3)."""

from typing import Any

import numpy as np

from kd_jax.analyses.predictions import Splits, checked_classes, labels_of, logits_of
from kd_jax.analyses.units import states_units
from kd_jax.config.errors import UserError


@states_units(
    offset='nats',
    errors='count',
    error_rate='fraction',
    errors_on_classes='count',
    count_on_classes='count',
    accuracy_on_classes='fraction',
)
def class_bias(
    logits: Splits,
    labels: Splits,
    *,
    classes: tuple[int, ...],
    low: float = -15.0,
    high: float = 15.0,
    step: float = 0.1,
) -> dict[str, Any]:
    """Test errors before and after one offset is added to the logits of `classes`.

    Hinton et al. (2015), section 3: a student that never saw a 3 learns about 3s from the teacher's soft targets, but
    its bias for class 3 is far too low. One offset corrects this. The chosen offset has the fewest errors on a split;
    among several, the one nearest to 0 is chosen.

    The paper tunes the offset on the test images ('which optimizes overall performance on the test set'), which is
    optimistic. The result therefore also has the offset tuned on validation images. These must contain every class in
    its natural share, including the classes that were left out of training.

    Args:
      logits: [examples, num_classes] for 'test', and for 'valid' if there is such a split.
      labels: [examples], for the same splits.
      classes: classes whose logits get the offset.
      low: smallest offset tried, in nats.
      high: largest offset tried, in nats.
      step: distance between two offsets, in nats.
    Returns:
      'before', 'tuned_on_test' and 'tuned_on_valid' (None without a split 'valid'). Each has the 'offset' and its
      results on the test images: 'errors', 'error_rate', 'errors_on_classes', 'count_on_classes', 'accuracy_on_classes'
      (None if no test image is of these classes).
    Raises:
      UserError: no test split, malformed arrays, a class that does not exist, or an empty range of offsets.
    """
    if step <= 0 or low > high:
        raise UserError(f'class_bias: no offset lies between low={low:g} and high={high:g} in steps of {step:g}.')
    test = logits_of(logits, 'test', 'class_bias: logits')
    test_labels = labels_of(labels, 'test', 'class_bias: labels', test)
    raised = np.zeros(test.shape[-1])
    raised[checked_classes(classes, test.shape[-1], 'class_bias: classes')] = 1.0
    # Rounded so that the offsets are exactly 0 and 3.5, for example, not 3.4999999999999996.
    offsets = np.round(low + step * np.arange(int((high - low) / step + 1e-9) + 1), 9)

    def on_test(offset: float) -> dict[str, Any]:
        return {
            'offset': offset,
            **_score(_wrong(test, test_labels, offset * raised), raised[test_labels] > 0),
        }

    tuned_on_valid = None
    if 'valid' in logits:
        valid = logits_of(logits, 'valid', 'class_bias: logits')
        valid_labels = labels_of(labels, 'valid', 'class_bias: labels', valid)
        tuned_on_valid = on_test(_best_offset(valid, valid_labels, raised, offsets))
    return {
        'before': on_test(0.0),
        'tuned_on_test': on_test(_best_offset(test, test_labels, raised, offsets)),
        'tuned_on_valid': tuned_on_valid,
    }


def _wrong(logits: np.ndarray, labels: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (logits + bias).argmax(axis=-1) != labels


def _best_offset(logits: np.ndarray, labels: np.ndarray, raised: np.ndarray, offsets: np.ndarray) -> float:
    errors = [int(_wrong(logits, labels, offset * raised).sum()) for offset in offsets]
    best = min(range(len(offsets)), key=lambda i: (errors[i], abs(offsets[i])))
    return float(offsets[best])


def _score(wrong: np.ndarray, on_classes: np.ndarray) -> dict[str, Any]:
    count, missed = int(on_classes.sum()), int(wrong[on_classes].sum())
    return {
        'errors': int(wrong.sum()),
        'error_rate': float(wrong.mean()),
        'errors_on_classes': missed,
        'count_on_classes': count,
        'accuracy_on_classes': 1.0 - missed / count if count else None,
    }
