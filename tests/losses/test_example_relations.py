"""Losses on relations between examples: hand-computed numbers and invariances."""

import jax
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.losses.small_arrays import random

# Three points on a line, at 0, 1 and 3: distances 1, 3 and 2, whose mean is 2.
LINE = np.array([[0.0], [1.0], [3.0]], np.float32)
# An equilateral triangle, and a right angle at the first example.
TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]], np.float32)
CORNER = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)


def rotation(dim, seed=3):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0].astype(np.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_rkd_distance_by_hand():
    # Relative distances 1/2, 3/2, 1 against 1, 1, 1: the Huber loss (x^2 / 2 here) is 1/8, 1/8, 0.
    np.testing.assert_allclose(losses.rkd_distance(LINE, TRIANGLE), 1 / 12, rtol=1e-5)


def test_rkd_distance_is_linear_beyond_a_difference_of_one():
    # Points 0, 0, 0, 1 have three positive distances, all 1; the square of side 1 has mean (4 + 2 sqrt 2) / 6.
    far = np.array([[0.0], [0.0], [0.0], [1.0]], np.float32)
    square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], np.float32)
    average = (4 + 2 * 2**0.5) / 6
    sides, diagonals = 1 / average, 2**0.5 / average
    assert diagonals > 1.0  # between examples 1 and 2, duplicates in `far`: the Huber loss is linear there
    apart = [sides - 0, sides - 0, diagonals - 1, diagonals - 0, sides - 1, sides - 1]
    huber = [0.5 * d**2 if abs(d) <= 1 else abs(d) - 0.5 for d in apart]
    np.testing.assert_allclose(losses.rkd_distance(square, far), np.mean(huber), rtol=1e-5)


def test_rkd_angle_by_hand():
    # All cosines of the triangle are 1/2; those of the corner are 0 at the right angle and twice sqrt(1/2).
    expected = np.mean([0.5 * (0.5 - 0.0) ** 2, *[0.5 * (0.5 - 0.5**0.5) ** 2] * 2])
    np.testing.assert_allclose(losses.rkd_angle(TRIANGLE, CORNER), expected, rtol=1e-5)


def test_the_code_of_rkd_averages_over_repeated_examples_too():
    # 3 of 5 examples count: 6 of 9 pairs and 6 of 27 triples are of different examples.
    x, y, where = random(5, 4), random(5, 3, seed=1), np.array([1, 0, 1, 1, 0])
    for loss, share in ((losses.rkd_distance, 6 / 9), (losses.rkd_angle, 6 / 27)):
        paper, code = (loss(x, y, where=where, form=form) for form in ('paper', 'code'))
        np.testing.assert_allclose(code, share * paper, rtol=1e-5)


@pytest.mark.parametrize('loss', [losses.rkd_distance, losses.rkd_angle, losses.cka])
def test_a_moved_turned_and_stretched_batch_has_the_same_relations(loss):
    x = random(6, 4)
    np.testing.assert_allclose(jax.jit(loss)(3.0 * x @ rotation(4) + 5.0, x), 0.0, atol=1e-6)


@pytest.mark.parametrize('size', [1e-30, 1e30])
@pytest.mark.parametrize('loss', [losses.rkd_distance, losses.rkd_angle, losses.cka, losses.similarity_preserving])
def test_what_does_not_depend_on_scale_survives_any_scale(loss, size):
    x, y = random(5, 4), random(5, 3, seed=1)
    function = jax.jit(jax.value_and_grad(loss))
    (value, grad), (expected, _) = function(np.float32(size) * x, y), function(x, y)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    assert np.all(np.isfinite(grad))


def test_similarity_preserving_by_hand():
    # Rows (1, 0) and (1, 1): G = [[1, 1], [1, 2]], rows over their norms (1, 1) / sqrt 2 and (1, 2) / sqrt 5.
    # Orthogonal rows: the identity. Squared differences over 2^2.
    student, teacher = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32), np.eye(2, dtype=np.float32)
    rows = np.array([[1, 1] / np.sqrt(2), [1, 2] / np.sqrt(5)])
    expected = np.sum((rows - np.eye(2)) ** 2) / 4
    np.testing.assert_allclose(losses.similarity_preserving(student, teacher), expected, rtol=1e-5)


def test_correlation_congruence_by_hand():
    # Orthogonal against parallel unit vectors: only the pair differs, exp(-0.8) against 1, twice among four entries.
    student, teacher = np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32)
    exact = 2 * (1 - np.exp(-0.8)) ** 2 / 4
    np.testing.assert_allclose(losses.correlation_congruence(student, teacher, order=0), exact, rtol=1e-5)
    # To second order: exp(-0.8) (1 + 0.8 + 0.32) on the diagonal and for parallel vectors, exp(-0.8) for orthogonal.
    second = 2 * (np.exp(-0.8) * (0.8 + 0.32)) ** 2 / 4
    np.testing.assert_allclose(losses.correlation_congruence(student, teacher), second, rtol=1e-5)


def test_the_series_of_correlation_congruence_tends_to_the_gaussian_kernel():
    x, y = random(5, 3), random(5, 4, seed=1)
    kernels = [np.exp(-0.4 * np.sum((unit(a)[:, None] - unit(a)[None]) ** 2, axis=-1)) for a in (x, y)]
    expected = np.mean((kernels[0] - kernels[1]) ** 2)
    np.testing.assert_allclose(losses.correlation_congruence(x, y, order=0), expected, rtol=1e-4)
    np.testing.assert_allclose(losses.correlation_congruence(x, y, order=8), expected, rtol=1e-4)


def test_a_series_of_negative_order_is_refused():
    term = {'loss': 'correlation_congruence', 'student': 'a.logits', 'target': 'batch.image', 'order': -1}
    config = {'networks': {'a': {'model': 'mlp', 'num_classes': 3}}, 'terms': {'cc': term}}
    with pytest.raises(UserError, match='order is -1, but it must not be negative'):
        parse_recipe({**config, 'optimizer': {'learning_rate': 0.1}})


def test_pkt_by_hand():
    # Student orthogonal, kernels 1 and 1/2: rows (2/3, 1/3); teacher parallel: rows (1/2, 1/2).
    student, teacher = np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32)
    kl = 0.5 * np.log(0.5 / (2 / 3)) + 0.5 * np.log(0.5 / (1 / 3))
    np.testing.assert_allclose(losses.pkt(student, teacher), 2 * kl / 4, rtol=1e-5)
    # With two examples, each has one neighbour, of probability 1 in student and teacher.
    np.testing.assert_allclose(losses.pkt(student, teacher, form='paper'), 0.0, atol=1e-6)
    # With three, example (0, 1) has neighbours (1, 0) and (0, -1): kernels 1/2 and 0; a parallel teacher has 1 and 1.
    student = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], np.float32)
    teacher = np.ones((3, 2), np.float32)
    # The first row is (1/2, 1/2), as in the teacher; the others: 1/2 to the first, the floor 1e-7 to their opposite.
    q = np.array([0.5, 1e-7]) / (0.5 + 1e-7)
    expected = 2 * np.sum(0.5 * np.log(0.5 / q)) / 3
    np.testing.assert_allclose(losses.pkt(student, teacher, form='paper'), expected, rtol=1e-4)


def test_cka_is_that_of_the_features():
    # Kornblith et al.: |Y^T X|^2 / (|X^T X| |Y^T Y|) of the centred features.
    x, y = random(7, 3), random(7, 4, seed=1)
    a, b = x - x.mean(0), y - y.mean(0)
    expected = 1 - np.sum((b.T @ a) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    np.testing.assert_allclose(losses.cka(x, y), expected, rtol=1e-4)


@pytest.mark.parametrize('examples', [3, 7, 10])
def test_equal_embeddings_have_no_alignment_and_move_nothing(examples):
    # Their rounding errors after centring must not be scaled to size 1.
    same, other = np.tile(random(1, 6), (examples, 1)), random(examples, 4, seed=1)
    for where in (None, np.arange(examples) > 0):
        loss = jax.value_and_grad(lambda x, y, where=where: losses.cka(x, y, where=where), argnums=(0, 1))
        for first, second in ((same, other), (other, same)):
            value, grads = loss(first, second)
            assert value == 1.0
            for grad in grads:
                np.testing.assert_array_equal(grad, 0.0)


def test_batches_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match='student has 4 examples and the teacher 5'):
        losses.cka(random(4, 2), random(5, 2))
