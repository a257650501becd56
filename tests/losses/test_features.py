"""Losses on features: hand-computed numbers and invariances."""

import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from tests.losses.small_arrays import maps, random


def test_cosine_by_hand():
    np.testing.assert_allclose(losses.cosine(np.array([3.0, 4.0]), np.array([4.0, 3.0])), 1 - 24 / 25, rtol=1e-6)
    np.testing.assert_allclose(losses.cosine(np.array([1.0, 0.0]), np.array([-2.0, 0.0])), 2.0, rtol=1e-6)


def test_attention_transfer_by_hand():
    # Two positions; sums of squares over channels (9, 16) -> (9, 16) / sqrt 337; the teacher's (1, 0) -> (1, 0).
    student, teacher = maps([3.0, 0.0], [0.0, 4.0]), maps([1.0], [0.0])
    difference = np.array([9.0, 16.0]) / np.sqrt(337) - [1.0, 0.0]
    np.testing.assert_allclose(losses.attention_transfer(student, teacher), [np.mean(difference**2)], rtol=1e-5)
    paper = losses.attention_transfer(student, teacher, form='paper')
    np.testing.assert_allclose(paper, [np.linalg.norm(difference)], rtol=1e-5)
    # Power 1: (3, 4) / 5.
    first = losses.attention_transfer(student, teacher, power=1)
    np.testing.assert_allclose(first, [(0.4**2 + 0.8**2) / 2], rtol=1e-5)


@pytest.mark.parametrize('size', [1e-25, 1e25])
def test_attention_does_not_depend_on_the_size_of_activations(size):
    student, teacher = random(2, 3, 3, 4), random(2, 3, 3, 2, seed=1)
    for loss in (losses.attention_transfer, losses.factor_transfer, losses.nst):
        once, scaled = (np.asarray(loss(student * np.float32(s), teacher)) for s in (1.0, size))
        np.testing.assert_allclose(scaled, once, rtol=1e-4)


def test_the_authors_factor_transfer_is_the_mean_over_the_entries_of_the_paper_s_sum():
    student, teacher = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    paper, authors = (losses.factor_transfer(student, teacher, form=form) for form in ('paper', 'authors'))
    np.testing.assert_allclose(authors, paper / (3 * 4 * 5), rtol=1e-5)


def test_nst_by_hand():
    # Student: one channel (1, 0) over two positions; teacher: channels (1, 0) and (0, 1).
    student, teacher = maps([1.0], [0.0]), maps([1.0, 0.0], [0.0, 1.0])
    # Kernels: 1 within the student; (1 + 0 + 0 + 1) / 4 within the teacher; (1 + 0) / 2 across. 1 + 1/2 - 2 * 1/2.
    for kernel in ('polynomial', 'linear'):
        np.testing.assert_allclose(losses.nst(student, teacher, kernel=kernel), [0.5], rtol=1e-6)


def test_nst_is_the_distance_of_what_its_kernels_stand_for():
    student, teacher = random(2, 2, 3, 4), random(2, 2, 3, 5, seed=1)
    x, y = (m.reshape(2, 6, -1).transpose(0, 2, 1) for m in (student, teacher))
    x, y = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (x, y))
    linear = np.sum((x.mean(1) - y.mean(1)) ** 2, axis=-1)
    np.testing.assert_allclose(losses.nst(student, teacher, kernel='linear'), linear, rtol=1e-4)
    gram = [np.swapaxes(a, 1, 2) @ a / a.shape[1] for a in (x, y)]
    squared = np.sum((gram[0] - gram[1]) ** 2, axis=(1, 2))
    np.testing.assert_allclose(losses.nst(student, teacher), squared, rtol=1e-4)


def test_factor_transfer_by_hand():
    # Flattened (3, 4) / 5 against (1, 0): |0.6 - 1| + |0.8|.
    student, teacher = maps([3.0], [4.0]), maps([2.0], [0.0])
    np.testing.assert_allclose(losses.factor_transfer(student, teacher, form='paper'), [1.2], rtol=1e-5)
    # Squares averaged over channels, (9, 16) / sqrt 337, against (1, 0); the mean of two positions.
    expected = np.mean(np.abs(np.array([9.0, 16.0]) / np.sqrt(337) - [1.0, 0.0]))
    np.testing.assert_allclose(losses.factor_transfer(student, teacher), [expected], rtol=1e-5)


def test_activation_boundaries_by_hand():
    # Teacher active: 0.5 is 0.5 too low, 2 is correct. Inactive: 0.5 is 1.5 too high, -2 is correct, 0 is 1 too high.
    student, teacher = maps([0.5, 2.0, 0.5, -2.0, 0.0]), maps([3.0, 0.1, -1.0, -0.1, 0.0])
    np.testing.assert_allclose(losses.activation_boundaries(student, teacher), [0.25 + 2.25 + 1.0], rtol=1e-6)
    relu = losses.activation_boundaries(student, np.maximum(teacher, 0.0))
    np.testing.assert_allclose(relu, [3.5], rtol=1e-6)
    np.testing.assert_allclose(losses.activation_boundaries(student, teacher, margin=0.0), [0.25], rtol=1e-6)


def test_ofd_by_hand():
    # One channel: negative responses -1 and -3 have mean -2, the margin. Targets 2, max(-1, -2) = -1, max(-3, -2) = -2.
    teacher = maps([2.0], [-1.0], [-3.0])
    # Student 1 below the target 2: costs 1. Student -1.5 below the target -1: costs 0. Student 0 above -2: costs 4.
    np.testing.assert_allclose(losses.ofd(maps([1.0], [-1.5], [0.0]), teacher), [1.0 + 0.0 + 4.0], rtol=1e-6)


def test_ofd_of_a_teacher_after_its_relu_has_margin_zero():
    student, teacher = random(2, 3, 3, 4), np.maximum(random(2, 3, 3, 4, seed=1), 0.0)
    squared = np.where((teacher > 0) | (student > 0), (student - teacher) ** 2, 0.0)
    np.testing.assert_allclose(losses.ofd(student, teacher), squared.sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize('teachers', [2, 3])
def test_ofd_of_several_teachers_is_refused(teachers):
    # Of as many teachers as examples, the margins would be taken over the wrong axes.
    message = rf'\[3, 2, 2, 5\] and \[{teachers}, 3, 2, 2, 5\]: .* a term for each'
    with pytest.raises(UserError, match=message):
        losses.ofd(random(3, 2, 2, 5), random(teachers, 3, 2, 2, 5))


def test_the_margins_of_ofd_are_those_of_the_whole_batch():
    teacher = np.concatenate([maps([-1.0]), maps([-3.0])])
    # Margin -2 for both: targets -1 and -2; the students at 0 lie above them.
    np.testing.assert_allclose(losses.ofd(np.zeros_like(teacher), teacher), [1.0, 4.0], rtol=1e-6)


def test_vid_is_the_gaussian_likelihood_without_its_constant():
    # Variance 4, error 2: (ln 4 + 1) / 2. Variance 1, error 1: 1/2.
    mean, variance, target = np.array([[0.0, 1.0]]), np.array([[4.0, 1.0]]), np.array([[2.0, 0.0]])
    np.testing.assert_allclose(losses.vid(mean, variance, target), [((np.log(4) + 1) / 2 + 0.5) / 2], rtol=1e-6)


def test_the_best_variance_of_vid_is_the_mean_squared_error():
    errors = random(50, 1)
    best = np.mean(errors**2)

    def average(variance):
        return float(np.mean(losses.vid(np.zeros_like(errors), np.full_like(errors, variance), errors)))

    assert average(best) < min(average(0.9 * best), average(1.1 * best))


def test_hierarchical_context_by_hand():
    # A map of 2 x 2 that differs by 1 at one place: levels 2 x 2 (mean 1/4) and 1 x 1 ((1/4)^2), weights 1 and 1/2.
    student = np.zeros((1, 2, 2, 1), np.float32)
    student[0, 0, 0, 0] = 1.0
    expected = (1 / 4 + 0.5 * (1 / 4) ** 2) / 1.5
    np.testing.assert_allclose(losses.hierarchical_context(student, np.zeros_like(student)), [expected], rtol=1e-6)


def test_the_levels_of_hierarchical_context_are_means_over_blocks():
    difference = random(2, 8, 8, 3)
    levels = [difference.reshape(2, s, 8 // s, s, 8 // s, 3).mean((2, 4)) for s in (8, 4, 2, 1)]
    weights = np.array([1.0, 0.5, 0.25, 0.125])
    expected = sum(w * np.mean(level**2, axis=(1, 2, 3)) for w, level in zip(weights, levels, strict=True))
    loss = losses.hierarchical_context(difference, np.zeros_like(difference))
    np.testing.assert_allclose(loss, expected / weights.sum(), rtol=1e-5)
