"""Losses on independent labels: hand-computed numbers, identities and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from kd_jax import losses
from tests.losses.small_arrays import random, random_logits

bce = jax.jit(losses.bce, static_argnames=('over_labels', 'class_weights'))
bce_kd = jax.jit(losses.bce_kd, static_argnames=('over_labels', 'class_weights'))


def test_bce_is_minus_the_log_of_the_probability_of_each_answer():
    # Probabilities 3/4 (answer 1) and 1/3 (answer 0): -ln(3/4) = 0.287682 and -ln(2/3) = 0.405465.
    logits, target = np.log(np.array([[3.0, 0.5]], np.float32)), np.array([[1, 0]])
    np.testing.assert_allclose(bce(logits, target), [(0.287682 + 0.405465) / 2], rtol=1e-5)
    np.testing.assert_allclose(bce(logits, target.astype(bool), over_labels='sum'), [0.287682 + 0.405465], rtol=1e-5)
    weighted = bce(logits, target, class_weights=(2.0, 0.0))
    np.testing.assert_allclose(weighted, [2 * 0.287682 / 2], rtol=1e-5)


def test_bce_of_a_probability_is_the_mean_over_its_answers():
    logits = random_logits(5, 3)
    yes, no = (bce(logits, np.full((5, 3), answer)) for answer in (1, 0))
    np.testing.assert_allclose(bce(logits, np.full((5, 3), 0.3, np.float32)), 0.3 * yes + 0.7 * no, rtol=1e-5)


def test_the_gradient_of_bce_is_the_probability_minus_the_answer_however_large_the_logits():
    logits, target = np.array([[-200.0, -1.0, 2.0, 200.0]], np.float32), np.array([[1.0, 0.0, 1.0, 0.0]], np.float32)
    gradient = jax.grad(lambda z: jnp.sum(losses.bce(z, target, over_labels='sum')))(logits)
    np.testing.assert_allclose(gradient, expit(logits.astype(np.float64)) - target, atol=1e-6)
    np.testing.assert_allclose(bce(logits, target, over_labels='sum'), [200 + 0.313262 + 0.126928 + 200], rtol=1e-6)


def test_bce_of_two_classes_is_their_cross_entropy():
    logits, labels = random_logits(6, 1), np.array([0, 1, 1, 0, 1, 0])
    both = np.concatenate([np.zeros_like(logits), logits], axis=1)
    np.testing.assert_allclose(bce(logits, labels[:, None]), losses.cross_entropy(both, labels), rtol=1e-5)


@pytest.mark.parametrize('t', [1.0, 4.0])
def test_bce_kd_is_kd_of_two_classes_for_each_label(t):
    student, teacher = random_logits(6, 3), random_logits(6, 3, seed=1)
    two = [np.stack([np.zeros_like(z), z], axis=-1) for z in (student, teacher)]
    each = losses.kd(*two, t=t)
    np.testing.assert_allclose(bce_kd(student, teacher, t=t), each.mean(axis=-1), rtol=1e-4)
    np.testing.assert_allclose(bce_kd(student, teacher, t=t, over_labels='sum'), each.sum(axis=-1), rtol=1e-4)
    np.testing.assert_allclose(
        bce_kd(student, teacher, t=t, class_weights=(3.0, 0.0, 1.0)), (3 * each[:, 0] + each[:, 2]) / 3, rtol=1e-4
    )


def test_bce_kd_tends_to_the_squared_distance_over_8():
    student, teacher = random(6, 3), random(6, 3, seed=1)
    limit = np.mean((student - teacher) ** 2, axis=-1) / 8
    with jax.enable_x64(True):
        np.testing.assert_allclose(losses.bce_kd(student.astype(float), teacher.astype(float), t=1e3), limit, rtol=1e-3)


def test_the_gradient_of_bce_kd_is_that_of_bce_with_the_probabilities_of_the_teacher():
    student, teacher = random_logits(6, 3), random_logits(6, 3, seed=1)
    kd = jax.grad(lambda z: jnp.sum(losses.bce_kd(z, teacher)))(student)
    hard = jax.grad(lambda z: jnp.sum(losses.bce(z, jax.nn.sigmoid(teacher))))(student)
    np.testing.assert_allclose(kd, hard, rtol=1e-4, atol=1e-6)


def test_several_teachers_count_with_the_mean_of_their_softened_probabilities():
    student, teachers = random_logits(6, 3), random_logits(4, 6, 3, seed=1)
    p = expit(teachers.astype(np.float64) / 2).mean(axis=0)
    mean = 2 * np.log(p / (1 - p))
    np.testing.assert_allclose(bce_kd(student, teachers, t=2.0), bce_kd(student, mean, t=2.0), rtol=1e-4)
    np.testing.assert_allclose(bce_kd(student, np.stack([teachers[0]] * 3)), bce_kd(student, teachers[0]), rtol=1e-4)
