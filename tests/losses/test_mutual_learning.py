"""Losses for networks that teach each other, and for networks that teach themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 5, 4)).astype(np.float32)
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


def test_codistillation_needs_peers():
    for shape in ((1, 5, 4), (5, 4)):
        with pytest.raises(UserError, match='2 or more copies'):
            losses.codistillation(jnp.zeros(shape), jnp.zeros(shape))


def test_the_naive_teacher_of_kdcl_is_the_network_that_is_right():
    # The first network is right about the first example, the second network about the second example.
    target = np.array([[[5.0, 0.0], [5.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]], np.float32)
    labels, student = np.array([0, 1]), np.array([[0.5, 0.0], [0.5, 0.0]], np.float32)
    wanted = losses.kd(student, np.array([[5.0, 0.0], [0.0, 1.0]], np.float32), t=2.0)
    np.testing.assert_allclose(losses.kdcl(student, target, labels, t=2.0, form='naive'), wanted, rtol=1e-6)


def test_min_logit_takes_of_every_wrong_class_the_least_sure_network():
    # Relative to the label, class 0: (0, -1, -2) and (0, 0, -3). The minimum for each class is (0, -1, -3).
    target = np.array([[[2.0, 1.0, 0.0]], [[3.0, 3.0, 0.0]]], np.float32)
    student, labels = np.zeros((1, 3), np.float32), np.array([0])
    wanted = losses.kd(student, np.array([[0.0, -1.0, -3.0]], np.float32), t=2.0)
    np.testing.assert_allclose(losses.kdcl(student, target, labels), wanted, rtol=1e-6)


def test_the_ensemble_of_kdcl_is_at_least_as_right_as_every_network():
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


def test_an_example_learns_from_the_others_of_its_class_and_alone_from_none():
    logits = LOGITS[0]
    out = losses.class_wise(logits, logits, LABELS, t=2.0)
    # Classes 0 and 1 have two examples each, class 2 has one.
    np.testing.assert_allclose(out[0], losses.kd(logits[0], logits[2], t=2.0), rtol=1e-5)
    np.testing.assert_allclose(out[4], losses.kd(logits[4], logits[1], t=2.0), rtol=1e-5)
    assert out[3] == 0.0


def test_of_three_of_a_class_each_learns_from_the_mean_of_two():
    logits, labels = LOGITS[0, :3], np.zeros(3, np.int32)
    mean = jnp.log(jnp.mean(jax.nn.softmax(logits[1:] / 4.0), axis=0))
    out = losses.class_wise(logits, logits, labels)
    np.testing.assert_allclose(
        out[0], 16.0 * jnp.sum(jnp.exp(mean) * (mean - jax.nn.log_softmax(logits[0] / 4.0))), rtol=1e-4
    )


def test_progressive_goes_from_labels_to_what_was_said_before():
    logits, before = LOGITS[:2]
    label = losses.cross_entropy(logits, LABELS)
    own = -jnp.sum(jax.nn.softmax(before) * jax.nn.log_softmax(logits), axis=-1)
    for alpha, wanted in ((0.0, label), (1.0, own), (0.25, 0.75 * label + 0.25 * own)):
        every, none = np.ones(len(LABELS), bool), np.zeros(len(LABELS), bool)
        np.testing.assert_allclose(losses.progressive(logits, before, every, LABELS, alpha=alpha), wanted, rtol=1e-5)
        np.testing.assert_allclose(losses.progressive(logits, before, none, LABELS, alpha=alpha), label, rtol=1e-5)
