"""Losses for networks that teach each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from tests.losses.small_arrays import random

LOGITS = random(3, 5, 4)
LABELS = np.array([0, 1, 0, 2, 1], np.int32)


def test_codistillation_of_two_is_deep_mutual_learning():
    a, b = LOGITS[:2]
    each = losses.codistillation(LOGITS[:2], LOGITS[:2], t=3.0)
    np.testing.assert_allclose(each, [losses.kd(a, b, t=3.0), losses.kd(b, a, t=3.0)], rtol=1e-6)


def test_each_of_three_learns_from_the_mean_distribution_of_the_other_two():
    a, b, c = LOGITS
    mean = jnp.log(0.5 * jax.nn.softmax(a) + 0.5 * jax.nn.softmax(c))
    each = losses.codistillation(LOGITS, LOGITS)
    np.testing.assert_allclose(each[1], losses.kd(b, mean), rtol=1e-5)


def test_codistillation_needs_two_or_more_copies():
    for shape in ((1, 5, 4), (5, 4)):
        with pytest.raises(UserError, match='2 or more copies'):
            losses.codistillation(jnp.zeros(shape), jnp.zeros(shape))


def test_the_naive_teacher_of_kdcl_is_the_network_that_is_right():
    # The first network is right about the first example, the second network about the second example.
    target = np.array([[[5.0, 0.0], [5.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]], np.float32)
    labels, student = np.array([0, 1]), np.array([[0.5, 0.0], [0.5, 0.0]], np.float32)
    wanted = losses.kd(student, np.array([[5.0, 0.0], [0.0, 1.0]], np.float32), t=2.0)
    np.testing.assert_allclose(losses.kdcl(student, target, labels, t=2.0, form='naive'), wanted, rtol=1e-6)


def test_min_logit_takes_for_every_wrong_class_the_network_that_is_least_sure():
    # Relative to the label, class 0: (0, -1, -2) and (0, 0, -3). The minimum for each class is (0, -1, -3).
    target = np.array([[[2.0, 1.0, 0.0]], [[3.0, 3.0, 0.0]]], np.float32)
    student, labels = np.zeros((1, 3), np.float32), np.array([0])
    wanted = losses.kd(student, np.array([[0.0, -1.0, -3.0]], np.float32), t=2.0)
    np.testing.assert_allclose(losses.kdcl(student, target, labels), wanted, rtol=1e-6)


def test_the_ensemble_of_kdcl_gives_the_label_at_least_the_probability_of_every_network():
    student = np.zeros((5, 4), np.float32)
    best = jax.grad(lambda s: jnp.sum(losses.kdcl(s, LOGITS, LABELS, t=1.0)))(student)
    # The gradient of kd at uniform logits is 1/4 - p of the ensemble.
    p = (0.25 - best)[np.arange(5), LABELS]
    each = jax.nn.softmax(LOGITS)[:, np.arange(5), LABELS]
    assert np.all(p >= each.max(axis=0) - 1e-6)


def test_kdcl_teaches_one_student_as_it_teaches_several():
    every = losses.kdcl(LOGITS, LOGITS, LABELS)
    np.testing.assert_allclose(every[2], losses.kdcl(LOGITS[2], LOGITS, LABELS), rtol=1e-6)
    with pytest.raises(UserError, match='2 or more networks'):
        losses.kdcl(LOGITS[0], LOGITS[0], LABELS)
