"""Top-k targets: kd at k = num_classes and a lower bound of it below; the optimum has the tail mass; rankings."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.losses import kd, kd_top_k, rank_top_k
from kd_jax.models import top_k


def logits(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape) * 3.0


def targets(teacher, k, t):
    out = top_k(k=k, t=t).apply({}, teacher)
    return out['log_probs'], out['classes'], out['t']


def test_by_hand():
    teacher = jnp.log(jnp.array([0.125, 0.5, 0.125, 0.25]))
    log_probs, classes, t = targets(teacher, k=2, t=1.0)
    # Teacher: 1/2, 1/4 and a tail of 1/4. Uniform student: 1/4, 1/4 and a tail of 1/2.
    # KL: 0.5 ln 2 + 0.25 ln 1 + 0.25 ln 0.5
    np.testing.assert_allclose(kd_top_k(jnp.zeros(4), log_probs, classes, t), 0.25 * math.log(2), rtol=1e-6)


@pytest.mark.parametrize('t', [1.0, 4.0])
def test_with_all_classes_it_is_kd_and_so_is_its_gradient(t):
    student, teacher = logits(0, 5, 7), logits(1, 5, 7)

    def cut(z):
        return jnp.sum(kd_top_k(z, *targets(teacher, 7, t)))

    def full(z):
        return jnp.sum(kd(z, teacher, t=t))

    np.testing.assert_allclose(cut(student), full(student), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(cut)(student), jax.grad(full)(student), rtol=1e-4, atol=1e-5)


def test_it_grows_with_k_up_to_kd():
    student, teacher = logits(2, 20, 9), logits(3, 20, 9)
    values = jnp.stack([kd_top_k(student, *targets(teacher, k, 2.0)) for k in (1, 3, 6, 9)])
    assert jnp.all(jnp.diff(values, axis=0) >= -1e-5)
    assert jnp.all(values[:3] < kd(student, teacher, t=2.0))
    assert jnp.all(values >= -1e-6)


def test_the_optimum_has_the_probabilities_of_the_top_and_the_mass_of_the_tail():
    teacher, k = logits(4, 50), 5
    log_probs, classes, t = targets(teacher, k, 1.0)
    loss = jax.jit(jax.value_and_grad(lambda s: kd_top_k(s, log_probs, classes, t)))
    student = logits(5, 50)
    for _ in range(2000):
        student = student - 2.0 * loss(student)[1]
    learned = jax.nn.softmax(student)
    np.testing.assert_allclose(learned[classes], jax.nn.softmax(teacher)[classes], rtol=1e-2)
    np.testing.assert_allclose(1.0 - learned[classes].sum(), jnp.exp(log_probs[-1]), rtol=1e-2)


def test_within_the_tail_the_student_is_free():
    teacher, student = logits(6, 10), logits(7, 10)
    log_probs, classes, t = targets(teacher, 3, 1.0)
    tail = np.setdiff1d(np.arange(10), classes)
    turned = student.at[tail].set(student[jnp.roll(tail, 1)])
    value = functools.partial(kd_top_k, log_probs=log_probs, classes=classes, t=t)
    np.testing.assert_allclose(value(turned), value(student), rtol=1e-5)


def test_it_is_finite_where_the_tail_has_no_mass():
    teacher = jnp.array([100.0, 90.0, -100.0, -jnp.inf])
    value, grad = jax.value_and_grad(kd_top_k)(jnp.array([300.0, 0.0, -300.0, 1.0]), *targets(teacher, 2, 1.0))
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(grad))


def test_targets_that_do_not_fit_are_refused():
    log_probs, classes, t = targets(logits(8, 10), 3, 1.0)
    with pytest.raises(UserError, match='3 classes and 3 log-probabilities'):
        kd_top_k(logits(9, 10), log_probs[:3], classes, t)
    with pytest.raises(UserError, match='do not fit a student of 2 classes'):
        kd_top_k(logits(9, 2), log_probs, classes, t)


def test_the_likelihood_of_a_ranking_by_hand():
    student = jnp.log(jnp.array([1.0, 2.0, 3.0, 4.0]))
    # Drawn without replacement from weights 2, 4, 1 in this order: 2/7 * 4/5 * 1.
    np.testing.assert_allclose(rank_top_k(student, jnp.array([1, 3, 0])), -math.log(2 / 7 * 4 / 5), rtol=1e-5)
    np.testing.assert_allclose(rank_top_k(jnp.zeros(4), jnp.array([1, 3, 0])), math.log(6), rtol=1e-6)


def test_the_likelihoods_of_all_rankings_of_the_same_classes_sum_to_one():
    student = logits(10, 5)
    rankings = jnp.array(list(itertools.permutations([0, 2, 3])))
    np.testing.assert_allclose(jnp.exp(-rank_top_k(jnp.tile(student, (6, 1)), rankings)).sum(), 1.0, rtol=1e-5)


def test_the_order_of_the_teacher_is_the_most_likely_ranking_of_a_student_that_has_it():
    teacher = logits(11, 2, 3, 6)
    _, classes, _ = targets(teacher, 4, 1.0)
    assert jnp.all(rank_top_k(5 * teacher, classes) < rank_top_k(teacher, classes))
    assert jnp.all(rank_top_k(teacher, classes) < rank_top_k(teacher, classes[..., ::-1]))


def test_a_ranking_needs_two_classes():
    with pytest.raises(UserError, match='a ranking of 1 classes needs at least 2 and at most the 4'):
        rank_top_k(jnp.zeros(4), jnp.array([1]))


def test_top_k_of_a_sequence_is_that_of_each_position():
    student, teacher = logits(12, 2, 3, 9), logits(13, 2, 3, 9)
    log_probs, classes, t = targets(teacher, 4, 2.0)
    whole = kd_top_k(student, log_probs, classes, t)
    for row, place in np.ndindex(2, 3):
        at = row, place
        np.testing.assert_allclose(whole[at], kd_top_k(student[at], log_probs[at], classes[at], t[at]), rtol=1e-5)
