"""Divergences of student and teacher: hand-computed numbers, limits and identities."""

import jax
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.losses.small_arrays import log, random_logits


def test_jsd_by_hand_and_its_symmetry():
    # p = (3/4, 1/4), q = (1/4, 3/4), m = (1/2, 1/2): both divergences are 0.75 ln 1.5 + 0.25 ln 0.5.
    student, teacher = log(1.0, 3.0), log(3.0, 1.0)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(losses.jsd(student, teacher), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.jsd(2 * student, 2 * teacher, t=2.0), 4 * expected, rtol=1e-5)
    # beta = 1/4: m = (3/8, 5/8).
    first = 0.75 * np.log(2.0) + 0.25 * np.log(0.4)
    second = 0.25 * np.log(2 / 3) + 0.75 * np.log(1.2)
    np.testing.assert_allclose(losses.jsd(student, teacher, beta=0.25), first / 4 + 3 * second / 4, rtol=1e-5)
    # Distributions without a common class are as far apart as two can be.
    apart = np.array([[0.0, -np.inf], [-np.inf, 0.0]], np.float32)
    np.testing.assert_allclose(losses.jsd(apart[0], apart[1]), np.log(2.0), rtol=1e-6)


def test_jsd_over_its_share_tends_to_the_two_divergences():
    with jax.enable_x64(True):
        student, teacher = (random_logits(3, seed=seed).astype(np.float64) for seed in (0, 1))
        forward = losses.jsd(student, teacher, beta=1e-6) / 1e-6
        backward = losses.jsd(student, teacher, beta=1 - 1e-6) / 1e-6
        np.testing.assert_allclose(forward, losses.kd(student, teacher), rtol=1e-4)
        np.testing.assert_allclose(backward, losses.kd(teacher, student), rtol=1e-4)


@pytest.mark.parametrize('beta', [0.0, 1.0])
def test_jsd_is_refused_where_it_would_always_be_zero(beta):
    paths = {'student': 'student.logits', 'target': 'student.logits'}
    config = {
        'networks': {'student': {'model': 'mlp'}}, 'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
        'terms': {'jsd': {'loss': 'jsd', **paths, 'beta': beta}},
    }  # fmt: skip
    with pytest.raises(UserError, match='must be greater than 0 and less than 1'):
        parse_recipe(config)


def test_reverse_kl_by_hand_and_as_kd_with_its_arguments_exchanged():
    # q = (1/4, 3/4), p = (3/4, 1/4) -> 1/4 ln 1/3 + 3/4 ln 3 = ln(3) / 2.
    student, teacher = log(1.0, 3.0), log(3.0, 1.0)
    np.testing.assert_allclose(losses.reverse_kl(student, teacher), np.log(3.0) / 2, rtol=1e-6)
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    np.testing.assert_allclose(
        losses.reverse_kl(student, teacher, t=3.0), losses.kd(teacher, student, t=3.0), rtol=1e-5
    )
    certain = np.array([0.0, -np.inf], np.float32)
    np.testing.assert_allclose(losses.reverse_kl(certain, log(1.0, 3.0)), np.log(4.0), rtol=1e-6)
    assert losses.reverse_kl(log(1.0, 3.0), certain) == np.inf


def test_skew_divergences_by_hand():
    # p = (3/4, 1/4), q = (1/4, 3/4); alpha = 1/2 makes both mixtures (1/2, 1/2); alpha = 1/4 gives (3/8, 5/8).
    student, teacher = log(1.0, 3.0), log(3.0, 1.0)
    half = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    quarter = 0.75 * np.log(2.0) + 0.25 * np.log(0.4)
    for loss in (losses.skew_kl, losses.reverse_skew_kl):
        np.testing.assert_allclose(loss(student, teacher, alpha=0.5), half, rtol=1e-5)
        np.testing.assert_allclose(loss(2 * student, 2 * teacher, t=2.0, alpha=0.25), 4 * quarter, rtol=1e-5)


def test_skew_divergences_start_at_the_plain_ones_and_are_bounded():
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    np.testing.assert_allclose(losses.skew_kl(student, teacher, alpha=0.0), losses.kd(student, teacher), rtol=1e-5)
    reverse = losses.reverse_skew_kl(student, teacher, alpha=0.0)
    np.testing.assert_allclose(reverse, losses.reverse_kl(student, teacher), rtol=1e-5)
    # Distributions without a common class are as far apart as two can be: KL(p || alpha p + ...) = -log(alpha).
    apart = np.array([[0.0, -np.inf], [-np.inf, 0.0]], np.float32)
    for loss in (losses.skew_kl, losses.reverse_skew_kl):
        np.testing.assert_allclose(loss(apart[0], apart[1], alpha=0.1), np.log(10.0), rtol=1e-6)


def test_total_variation_by_hand_and_as_what_speculative_decoding_rejects():
    np.testing.assert_allclose(losses.total_variation(log(1.0, 3.0), log(3.0, 1.0)), 0.5, rtol=1e-6)
    student, teacher = random_logits(4, 5), random_logits(4, 5, seed=1)
    accepted = np.minimum(jax.nn.softmax(student), jax.nn.softmax(teacher)).sum(-1)
    np.testing.assert_allclose(losses.total_variation(student, teacher), 1.0 - accepted, rtol=1e-5)


@pytest.mark.parametrize('name', ['kd', 'reverse_kl', 'jsd', 'skew_kl', 'reverse_skew_kl', 'total_variation'])
def test_a_position_of_a_sequence_has_the_loss_of_an_example(name):
    loss = getattr(losses, name)
    student, teacher = random_logits(2, 3, 5), random_logits(2, 3, 5, seed=1)
    each = [loss(s, v) for s, v in zip(student.reshape(-1, 5), teacher.reshape(-1, 5), strict=True)]
    np.testing.assert_allclose(loss(student, teacher).reshape(-1), np.array(each), rtol=1e-5)
    # The logits of a model in bfloat16 lose nothing more in the loss.
    half = [jax.numpy.asarray(array, jax.numpy.bfloat16) for array in (student, teacher)]
    np.testing.assert_allclose(loss(*half), loss(*(a.astype(np.float32) for a in half)), rtol=1e-5)
