import numpy as np

from kd_jax.data import class_labels


def test_a_specialist_has_its_classes_by_position_and_a_dustbin():
    relabelled = class_labels.relabel({'label': np.array([0, 3, 1, 2, 3]), 'id': np.arange(5)}, (3, 1))
    np.testing.assert_array_equal(relabelled['label'], [2, 0, 1, 2, 0])
    np.testing.assert_array_equal(relabelled['id'], np.arange(5))


def test_labels_at_the_end_of_their_type_are_relabelled():
    relabelled = class_labels.relabel({'label': np.array([255, 1, 2], np.uint8)}, (1, 2))
    np.testing.assert_array_equal(relabelled['label'], [2, 0, 1])


def test_noisy_labels_are_uniform_over_classes_in_their_share_and_leave_the_rest_alone():
    arrays = {'label': np.zeros(20_000, np.int32)}
    noisy = class_labels.noisy(arrays, 0.4, 10, np.random.default_rng(0))['label']
    # 0.4 * 9 / 10 of the labels change; one standard deviation of that share is 0.0034.
    assert abs(np.mean(noisy != 0) - 0.36) < 0.015
    counts = np.bincount(noisy, minlength=10)[1:]
    assert np.all(np.abs(counts - 800) < 4 * np.sqrt(800))
