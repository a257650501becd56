"""Decoupled KD: hand-computed numbers, its relation to kd, and logits at the edge of float32."""

import jax
import numpy as np
import pytest
from scipy.special import softmax

from kd_jax import losses
from tests.losses.small_arrays import log, random_logits


def test_dkd_by_hand():
    # Label 0. Teacher (1/2, 1/4, 1/4), student (1/4, 1/4, 1/2): TCKD of (1/2, 1/2) from (1/4, 3/4), NCKD of
    # (1/2, 1/2) from (1/3, 2/3).
    student, teacher = log(0.25, 0.25, 0.5), log(0.5, 0.25, 0.25)
    tckd = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    nckd = 0.5 * np.log(0.5 * 3) + 0.5 * np.log(0.5 * 3 / 2)
    np.testing.assert_allclose(losses.dkd(student, teacher, 0, t=1.0, alpha=1.0, beta=0.0), tckd, rtol=1e-5)
    np.testing.assert_allclose(losses.dkd(student, teacher, 0, t=1.0, alpha=0.0, beta=1.0), nckd, rtol=1e-5)


@pytest.mark.parametrize('t', [1.0, 4.0])
def test_kd_is_tckd_plus_nckd_times_the_probability_of_the_other_classes(t):
    student, teacher, labels = random_logits(6, 5), random_logits(6, 5, seed=1), np.arange(6) % 5
    tckd = losses.dkd(student, teacher, labels, t=t, alpha=1.0, beta=0.0)
    nckd = losses.dkd(student, teacher, labels, t=t, alpha=0.0, beta=1.0)
    p = softmax(teacher / t, axis=-1)[np.arange(6), labels]
    np.testing.assert_allclose(losses.kd(student, teacher, t=t), tckd + (1 - p) * nckd, rtol=1e-4)


def test_the_other_classes_keep_their_ratios_when_the_label_leads_by_1000():
    # Subtracting 1000 would not hide this logit. Other classes: (3/4, 1/4) in the teacher, (1/2, 1/2) in the student.
    teacher = np.array([1000.0, np.log(3.0), 0.0], np.float32)
    nckd = losses.dkd(np.zeros(3, np.float32), teacher, 0, t=1.0, alpha=0.0, beta=1.0)
    np.testing.assert_allclose(nckd, 0.130812, atol=1e-5)


def test_a_class_that_the_teacher_rules_out_adds_nothing_to_dkd():
    teacher = np.array([0.0, 0.0, -np.inf], np.float32)
    value, grad = jax.value_and_grad(losses.dkd)(np.zeros(3, np.float32), teacher, 0, t=1.0, beta=1.0)
    # TCKD of (1/2, 1/2) from (1/3, 2/3) and NCKD of (1, 0) from (1/2, 1/2).
    np.testing.assert_allclose(value, 0.5 * np.log(1.5) + 0.5 * np.log(0.75) + np.log(2), rtol=1e-5)
    assert np.all(np.isfinite(grad))
