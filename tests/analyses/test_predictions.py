import json

import numpy as np
import pytest

from kd_jax import analyses
from kd_jax.analyses.predictions import log_softmax, nll
from kd_jax.config.errors import UserError

LOGITS = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
LABELS = np.array([0, 2])


@pytest.mark.parametrize(
    ('logits', 'labels', 'message'),
    [
        ({'tset': LOGITS}, {'test': LABELS}, "Did you mean 'tset'"),
        ({'test': LOGITS}, {'valid': LABELS}, "labels have no split 'test'"),
        ({'test': LOGITS[None]}, {'test': LABELS}, r'\[examples, classes\] is needed'),
        ({'test': LOGITS[:0]}, {'test': LABELS[:0]}, 'is needed'),
        ({'test': LOGITS * np.nan}, {'test': LABELS}, 'NaN'),
        ({'test': LOGITS}, {'test': LABELS[:1]}, 'there are 2 predictions'),
        ({'test': LOGITS}, {'test': LABELS + 1}, r'1\.\.3, outside 0\.\.2'),
        ({'test': LOGITS}, {'test': LABELS - 1}, r'-1\.\.1, outside 0\.\.2'),
    ],
)
def test_malformed_predictions_are_refused_with_the_analysis_named(logits, labels, message):
    with pytest.raises(UserError, match=f'class_bias.*{message}'):
        analyses.class_bias(logits, labels, classes=[1])


def test_log_softmax_of_huge_logits_is_finite():
    np.testing.assert_allclose(log_softmax(np.array([1e4, 1e4 - 1.0])), [-np.log(1 + np.exp(-1)), -np.log1p(np.e)])


def test_nll_is_the_mean_over_examples():
    # Probabilities of the labels: 1/2 and 1/8.
    assert nll(np.log(np.array([[0.5, 0.5], [0.875, 0.125]])), np.array([0, 1])) == pytest.approx(2 * np.log(2))


def test_every_analysis_returns_plain_json():
    rng = np.random.default_rng(0)
    labels = {split: np.tile(np.arange(4), 5).astype(np.uint8) for split in ('valid', 'test')}
    logits = {split: rng.normal(size=(20, 4)).astype(np.float32) + 3 * np.eye(4)[y] for split, y in labels.items()}
    copies = {split: np.stack([z, -z]) for split, z in logits.items()}
    special = {split: rng.normal(size=(2, 20, 3)) for split in logits}
    results = [
        analyses.class_bias(logits, labels, classes=(1,)),
        analyses.ensemble(copies, labels),
        analyses.confusable_classes(logits, clusters=2, size=2),
        analyses.specialists(logits, special, labels, subsets=((0, 1), (1, 2)), steps=5),
        analyses.soft_targets(logits, labels, {'test': np.zeros((20, 2, 2), np.uint8)}, label=2, resembling=(3,)),
        analyses.class_similarity(logits, logits, labels),
        analyses.correct_examples(logits, labels),
        analyses.cka(logits, logits),
        analyses.speed({'test': lambda count: logits['test'][:count]}, repeats=1),
    ]
    assert len(results) == len(analyses.__all__)
    for result in results:
        assert json.loads(json.dumps(result, allow_nan=False)) == result
