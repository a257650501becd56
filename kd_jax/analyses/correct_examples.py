"""Which examples a classifier gets right, one bit each, so that runs can be compared example by example."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kd_jax.analyses.predictions import Splits, labels_of, logits_of
from kd_jax.analyses.units import states_units
from kd_jax.config.errors import UserError


@states_units(examples='count')
def correct_examples(logits: Splits, labels: Splits) -> dict[str, Any]:
    """Which examples are classified correctly, in a form that a result file can hold: 1.7 kB for 10,000 examples.

    Args:
      logits: [examples, num_classes], or [copies, examples, num_classes] of a network with copies, for every split.
      labels: [examples], for the same splits.
    Returns:
      for each split {'examples': their number, 'correct': for each copy (one without copies) a text, which
      `unpack_correct` reads}.
    Raises:
      UserError: malformed arrays, or a split without labels.
    """
    found = {}
    for split, array in logits.items():
        stacked = array if np.ndim(array) == 3 else np.asarray(array)[None]
        scores = logits_of({split: stacked}, split, 'correct_examples: logits', axes='copies, examples, classes')
        right = scores.argmax(axis=-1) == labels_of(labels, split, 'correct_examples: labels', scores)
        texts = [base64.b64encode(np.packbits(one).tobytes()).decode('ascii') for one in right]
        found[split] = {'examples': right.shape[-1], 'correct': texts}
    return found


def unpack_correct(packed: Mapping[str, Any]) -> np.ndarray:
    """Reads what `correct_examples` returned for a split: bool, [copies, examples].

    Raises:
      UserError: the texts do not hold one bit for each example.
    """
    examples, texts = packed.get('examples'), packed.get('correct')
    try:
        if not isinstance(examples, int) or not isinstance(texts, Sequence) or not texts:
            raise ValueError
        read = [np.frombuffer(base64.b64decode(text, validate=True), np.uint8) for text in texts]
        if any(len(own) != -(-examples // 8) for own in read):
            raise ValueError
        return np.stack([np.unpackbits(own, count=examples) for own in read]).astype(bool)
    except (TypeError, ValueError):
        raise UserError(
            'correct_examples: the stored answers are damaged, because they do not have one bit for each example.'
        ) from None
