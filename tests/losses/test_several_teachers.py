"""KD from several teachers with weights of each example: hand-computed numbers."""

import numpy as np
from scipy.special import softmax

from kd_jax import losses
from tests.losses.small_arrays import log, random_logits


def test_gated_weights_are_each_examples_own():
    student, teachers = random_logits(2, 5), random_logits(2, 2, 5, seed=1)
    loss = losses.gated_kd(student, teachers, np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))
    expected = [losses.kd(student[0], teachers[0, 0]), losses.kd(student[1], teachers[1, 1])]
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_a_teacher_that_is_wrong_about_the_label_counts_for_less():
    # Probabilities of the label 3/4 and 1/4: softmax of the cross-entropies is (1/4, 3/4), weights (3/4, 1/4).
    teachers, student = log([0.75, 0.25], [0.25, 0.75]), log(0.6, 0.4)
    each = [losses.kd(student, teacher) for teacher in teachers]
    expected = 0.75 * each[0] + 0.25 * each[1]
    np.testing.assert_allclose(losses.confident_kd(student, teachers, 0), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.confident_kd(student, teachers, 1), 0.25 * each[0] + 0.75 * each[1], rtol=1e-5)


def test_a_surer_teacher_counts_for_more_whatever_the_label():
    teachers, student = log([0.99, 0.01], [0.5, 0.5]), log(0.6, 0.4)
    entropies = np.array([-(0.99 * np.log(0.99) + 0.01 * np.log(0.01)), np.log(2)])
    weights = softmax(-entropies)
    each = np.array([losses.kd(student, teacher) for teacher in teachers])
    for label in (0, 1):
        np.testing.assert_allclose(
            losses.confident_kd(student, teachers, label, by='entropy'), weights @ each, rtol=1e-4
        )
