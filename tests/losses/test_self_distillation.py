"""Losses for networks that teach themselves."""

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax import losses
from tests.losses.small_arrays import random

LOGITS = random(2, 5, 4)
LABELS = np.array([0, 1, 0, 2, 1], np.int32)


def test_an_example_learns_from_the_others_of_its_class_and_a_single_one_learns_nothing():
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


def test_progressive_mixes_the_labels_with_the_earlier_predictions():
    logits, before = LOGITS[:2]
    label = losses.cross_entropy(logits, LABELS)
    own = -jnp.sum(jax.nn.softmax(before) * jax.nn.log_softmax(logits), axis=-1)
    for alpha, wanted in ((0.0, label), (1.0, own), (0.25, 0.75 * label + 0.25 * own)):
        every, none = np.ones(len(LABELS), bool), np.zeros(len(LABELS), bool)
        np.testing.assert_allclose(losses.progressive(logits, before, every, LABELS, alpha=alpha), wanted, rtol=1e-5)
        np.testing.assert_allclose(losses.progressive(logits, before, none, LABELS, alpha=alpha), label, rtol=1e-5)
