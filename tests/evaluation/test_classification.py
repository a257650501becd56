import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.evaluation import classification, positions


def log(*probabilities):
    return np.log(np.array(probabilities, np.float32))


def test_metrics_of_three_examples_by_hand():
    logits = log([0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.05, 0.9, 0.05])
    found = classification(logits, np.array([0, 1, 1]))
    assert (found['count'], found['errors']) == (3, 1.0)
    assert found['accuracy'] == pytest.approx(2 / 3)
    assert found['nll'] == pytest.approx(-np.log(0.7 * 0.2 * 0.9) / 3, rel=1e-5)
    # The confidences 0.7 and 0.7 share a bin, and one of the two is right: |1.4 - 1|. The confidence 0.9 is alone in
    # its bin and right: |0.9 - 1|. Their sum is divided by 3 examples.
    assert found['ece'] == pytest.approx((0.4 + 0.1) / 3, rel=1e-5)


def test_over_and_underconfidence_in_different_bins_do_not_cancel():
    # Confidence 0.5 is right (bin 8) and 0.9 is wrong (bin 14): (0.5 + 0.9) / 2. If the two cancelled, it would be 0.2.
    found = classification(log([0.5, 0.3, 0.2], [0.9, 0.05, 0.05]), np.array([0, 1]))
    assert found['ece'] == pytest.approx(0.7, rel=1e-5)


@pytest.mark.parametrize('family', [classification, positions])
def test_over_and_underconfidence_of_different_copies_do_not_cancel(family):
    # Both copies say 0.8 of each of ten examples. One is right on ten, the other on six: each is off by 0.2.
    logits = np.tile(log([0.8, 0.2]), (10, 1))
    copies = [
        family.statistics(logits, (np.arange(10) >= right).astype(np.int32), where=np.ones(10, bool))
        for right in (10, 6)
    ]
    stacked = {name: np.stack([np.asarray(copy[name]) for copy in copies])[None] for name in copies[0]}
    assert family.values(stacked)['ece'] == pytest.approx(0.2, rel=1e-5)
    # Two batches of one copy are one split: 16 of 20 right at 0.8 is calibrated.
    batches = {name: np.swapaxes(array, 0, 1) for name, array in stacked.items()}
    assert family.values(batches)['ece'] == pytest.approx(0.0, abs=1e-6)


def test_full_confidence_falls_in_the_last_bin():
    logits = jnp.array([[200.0, 0.0], [0.0, 200.0]])
    sums = classification.statistics(logits, jnp.array([0, 0]), where=jnp.ones(2, bool))
    np.testing.assert_array_equal(sums['bin_count'], [0.0] * 14 + [2.0])
    assert classification(logits, jnp.array([0, 0]))['ece'] == pytest.approx(0.5)


def test_agreement_and_divergence_from_a_teacher_by_hand():
    student, teacher = log([0.6, 0.4], [0.5, 0.5], [0.2, 0.8]), log([0.9, 0.1], [0.25, 0.75], [0.2, 0.8])
    found = classification(student, np.zeros(3, int), teacher)
    # The second example is a tie, which goes to class 0; the teacher predicts class 1.
    assert found['agreement'] == pytest.approx(2 / 3)
    first = 0.9 * np.log(0.9 / 0.6) + 0.1 * np.log(0.1 / 0.4)
    second = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    assert found['kl'] == pytest.approx((first + second) / 3, rel=1e-5)


def test_a_class_that_both_rule_out_changes_no_metric():
    logits, teacher = np.random.default_rng(0).normal(size=(2, 4, 3))
    wide_logits, wide_teacher = (np.pad(z, [(0, 0), (0, 1)], constant_values=-np.inf) for z in (logits, teacher))
    labels = np.array([0, 2, 1, 1])
    found = classification(wide_logits, labels, wide_teacher)
    assert found == pytest.approx(classification(logits, labels, teacher))


def test_positions_count_alike_and_only_under_the_mask():
    # Two examples of two positions. Right are positions 0 and 1 of the first and position 0 of the second.
    logits = jnp.array([[[2.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [2.0, 0.0]]])
    labels = jnp.array([[0, 1], [0, 1]])
    assert positions(logits, labels)['accuracy'] == 3 / 4
    masked = positions(logits, labels, None, jnp.array([[True, False], [True, True]]))
    assert (masked['count'], masked['accuracy']) == (3, pytest.approx(2 / 3))
    whole_examples = positions(logits, labels, None, jnp.array([0, 1]))
    assert (whole_examples['count'], whole_examples['accuracy']) == (2, 1 / 2)


@pytest.mark.parametrize('ignore', [255, -100])
def test_an_ignored_label_counts_like_a_mask(ignore):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 4, 5)).astype(np.float32), rng.integers(0, 5, (3, 4))
    mask = rng.random((3, 4)) < 0.7
    marked = np.where(mask, labels, ignore)
    assert positions(logits, marked, ignore=ignore) == positions(logits, labels, None, mask)
    both = mask & (np.arange(4) < 2)
    assert positions(logits, marked, None, np.arange(4) < np.full((3, 1), 2), ignore=ignore) == positions(
        logits, labels, None, both
    )


def test_positions_of_flattened_examples_are_the_examples_of_a_classifier():
    rng = np.random.default_rng(1)
    logits, teacher = rng.normal(size=(2, 3, 4, 5)).astype(np.float32), rng.normal(size=(2, 3, 4, 5))
    labels = rng.integers(0, 5, (2, 3, 4))
    flat = classification(logits.reshape(24, 5), labels.reshape(24), teacher.reshape(24, 5))
    assert positions(logits, labels, teacher) == pytest.approx(flat, rel=1e-5)


@pytest.mark.parametrize(
    ('family', 'shapes', 'sentence'),
    [
        (classification, [(2, 1), (2,)], "logits of one class are always right.*metrics='regression'"),
        (classification, [(2, 8, 3), (2, 8)], "\\[2, 8, 3\\], but \\[batch, num_classes\\] .*metrics='positions'"),
        (positions, [(2, 8, 3), (2, 7)], 'whole numbers of shape \\[2, 8\\], not int32 \\[2, 7\\]'),
        (classification, [(2, 3), (2,), (2, 4)], 'logits have shape \\[2, 3\\] and the teacher \\[2, 4\\]'),
        (positions, [(2, 8, 3), (2, 8), None, (8, 2)], 'the mask has shape \\[8, 2\\], but the values have \\[2, 8\\]'),
    ],
)
def test_arrays_that_do_not_fit_are_refused(family, shapes, sentence):
    logits, labels, *rest = (None if shape is None else jnp.zeros(shape) for shape in shapes)
    with pytest.raises(UserError, match=sentence):
        family(logits, labels.astype(jnp.int32), *rest)


def test_labels_that_are_no_whole_numbers_are_refused():
    with pytest.raises(UserError, match='labels must be whole numbers of shape'):
        classification(jnp.zeros((2, 3)), jnp.zeros(2))
