import numpy as np
import pytest

from kd_jax.analyses import class_bias
from kd_jax.config.errors import UserError


def lowered(labels, by, margin=1.05, num_classes=3):
    """Logits that are right by `margin`; then those of class 2 are lowered by `by`."""
    logits = margin * np.eye(num_classes)[labels]
    logits[:, 2] -= by
    return logits


def test_the_offset_that_undoes_a_lowered_bias_is_found():
    labels = np.array([0, 1, 2, 2, 2])
    logits = {'test': lowered(labels, by=3.0)}
    result = class_bias(logits, {'test': labels}, classes=[2])
    assert result['before'] == {
        'offset': 0.0,
        'errors': 3,
        'error_rate': 0.6,
        'errors_on_classes': 3,
        'count_on_classes': 3,
        'accuracy_on_classes': 0.0,
    }
    # Class 2 wins on its own images for offsets above 3 - 1.05, and loses on the others for offsets below 3 + 1.05.
    assert result['tuned_on_test']['offset'] == 2.0
    assert result['tuned_on_test']['errors'] == 0
    assert result['tuned_on_test']['accuracy_on_classes'] == 1.0
    assert result['tuned_on_valid'] is None


def test_a_bias_that_is_too_high_gets_a_negative_offset():
    labels = np.array([0, 1, 2])
    result = class_bias({'test': lowered(labels, by=-7.6)}, {'test': labels}, classes=[2])
    # Classes 0 and 1 win on their images if more than 7.6 - 1.05 = 6.55 is subtracted.
    assert result['tuned_on_test']['offset'] == -6.6
    assert result['tuned_on_test']['errors'] == 0


def test_the_validation_offset_is_scored_on_the_test_images():
    labels = np.array([0, 1, 2])
    logits = {'valid': lowered(labels, by=3.0), 'test': lowered(labels, by=5.0)}
    result = class_bias(logits, {'valid': labels, 'test': labels}, classes=[2])
    assert result['tuned_on_valid']['offset'] == 2.0
    assert result['tuned_on_valid']['errors'] == 1
    assert result['tuned_on_test']['offset'] == 4.0
    assert result['tuned_on_test']['errors'] == 0


def test_among_equally_good_offsets_the_smallest_wins():
    labels = np.array([0, 1, 2])
    result = class_bias({'test': lowered(labels, by=0.0)}, {'test': labels}, classes=[2])
    assert result['tuned_on_test'] == result['before']


def test_several_classes_share_one_offset():
    labels = np.array([0, 1, 2])
    logits = np.eye(3)[labels] - np.array([0.0, 2.0, 2.0])
    result = class_bias({'test': logits}, {'test': labels}, classes=[1, 2], step=0.25)
    # Both classes need more than 2 - 1 = 1.
    assert result['tuned_on_test']['offset'] == 1.25
    assert result['tuned_on_test']['errors'] == 0


def test_the_last_offset_of_the_range_is_tried():
    labels = np.array([0, 1, 2])
    logits = {'test': lowered(labels, by=1.0, margin=0.75)}
    result = class_bias(logits, {'test': labels}, classes=[2], low=0.0, high=0.3)
    assert result['tuned_on_test']['offset'] == 0.3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'classes': [3]}, r'numbered 0\.\.2'),
        ({'classes': [-1]}, r'numbered 0\.\.2'),
        ({'classes': []}, 'list of class numbers'),
        ({'classes': 2}, 'list of class numbers'),
        ({'classes': [0, 1, 2]}, 'not all'),
        ({'classes': [1, 1]}, 'each once'),
        ({'classes': [1], 'low': 2.0, 'high': 1.0}, 'no offset'),
        ({'classes': [1], 'step': 0.0}, 'no offset'),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    labels = np.array([0, 1, 2])
    with pytest.raises(UserError, match=message):
        class_bias({'test': lowered(labels, by=0.0)}, {'test': labels}, **options)
