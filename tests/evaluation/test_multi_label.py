import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.evaluation import multi_label
from kd_jax.evaluation.multi_label import average_precision


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit. Precision 1 at the first hit, 2/3 at the second; each brings half of the recall.
    assert average_precision(np.array([0.1, 0.9, 0.5]), np.array([True, True, False])) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize('order', [[0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0]])
def test_equal_scores_are_one_threshold_in_whatever_order(order):
    # Two examples share 0.5, one of them a hit: 1 hit of 2 there, then 2 of 4 at 0.1: (1/2 + 2/4) / 2.
    scores, true = np.array([0.5, 0.5, 0.1, 0.1]), np.array([False, True, True, False])
    assert average_precision(scores[order], true[order]) == pytest.approx(0.5)


@pytest.mark.parametrize('size', [-np.inf, np.inf])
@pytest.mark.parametrize('order', [[0, 1, 2, 3], [3, 2, 1, 0]])
def test_infinite_scores_are_one_threshold_too(size, order):
    # Three share the infinite score, one of them a hit, and the miss has 1: all 4 are needed for it, or the first 3.
    scores, true = np.array([size, size, size, 1.0]), np.array([True, False, False, False])
    assert average_precision(scores[order], true[order]) == pytest.approx(1 / 4 if size < 0 else 1 / 3)


def test_equal_scores_everywhere_give_the_share_of_positives():
    assert average_precision(np.zeros(8), np.arange(8) < 3) == pytest.approx(3 / 8)


def test_a_label_without_positives_has_no_average_precision():
    assert np.isnan(average_precision(np.array([1.0, 2.0]), np.array([False, False])))


LOGITS = np.array([[2.0, -1.0, 3.0], [1.0, 1.0, 0.5], [-1.0, 2.0, 0.1]], np.float32)
TARGET = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])


def test_metrics_of_three_examples_by_hand():
    found = multi_label(LOGITS, TARGET)
    # Label 0: the hit is second, 1/2. Label 1: the hit is first, 1. Label 2 has no positive and is left out.
    assert found['average_precision'] == pytest.approx(3 / 4)
    # Right are: -1 of example 0; 1 of example 1; -1 and 2 of example 2.
    assert found['accuracy'] == pytest.approx(4 / 9)
    p = 1 / (1 + np.exp(-LOGITS))
    assert found['bce'] == pytest.approx(-np.mean(np.log(np.where(TARGET, p, 1 - p))), rel=1e-5)
    # All pairs together: the hits 2 and 1 are ranked after 3 and among 2, 2 and 1, 1: 1 of 3, then 2 of 5.
    assert multi_label(LOGITS, TARGET, average='pairs')['average_precision'] == pytest.approx((1 / 3 + 2 / 5) / 2)


@pytest.mark.parametrize('average', ['labels', 'pairs'])
def test_predictions_that_are_nan_are_no_missing_label(average):
    spoilt = LOGITS.copy()
    spoilt[0, 1] = np.nan
    assert np.isnan(multi_label(spoilt, TARGET, average=average)['average_precision'])
    # Where nothing counts, NaN hides nothing.
    kept = np.arange(3) > 0
    without = multi_label(LOGITS[1:], TARGET[1:], average=average)['average_precision']
    assert multi_label(spoilt, TARGET, kept, average=average)['average_precision'] == pytest.approx(without)
    # Label 2 has no positive, so it has no average precision that NaN could spoil.
    spoilt = LOGITS.copy()
    spoilt[0, 2] = np.nan
    assert np.isnan(multi_label(spoilt, TARGET, average=average)['average_precision']) == (average == 'pairs')


def test_a_threshold_says_from_which_logit_a_label_is_predicted():
    assert multi_label(LOGITS, TARGET, threshold=1.5)['accuracy'] == pytest.approx(6 / 9)


def test_masked_pairs_count_nowhere():
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(9, 4)).astype(np.float32), rng.integers(0, 2, (9, 4))
    masked = multi_label(logits, target, np.arange(9) < 6)
    assert masked == pytest.approx(multi_label(logits[:6], target[:6]), rel=1e-6)
    one_label = multi_label(logits, target, np.broadcast_to(np.arange(4) == 2, (9, 4)))
    assert one_label == pytest.approx(multi_label(logits[:, 2:3], target[:, 2:3]), rel=1e-6)


def test_a_target_of_another_shape_is_refused():
    with pytest.raises(UserError, match=r'both be \[batch, labels\], not \[3, 3\] and \[3\]'):
        multi_label(LOGITS, TARGET[:, 0])
