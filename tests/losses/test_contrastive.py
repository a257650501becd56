"""InfoNCE and CRD: hand-computed numbers."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from kd_jax import losses


def test_info_nce_of_orthogonal_and_of_equal_embeddings():
    # Orthonormal embeddings: log(1 + 3 e^(-1/t)). Equal embeddings: log 4.
    eye = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(losses.info_nce(eye, eye, t=0.5), np.log(1 + 3 * np.exp(-2.0)), rtol=1e-5)
    np.testing.assert_allclose(losses.info_nce(np.ones((4, 4)), np.ones((4, 4))), np.log(4), rtol=1e-5)


def test_crd_by_hand():
    # Partner at cosine 1 and one negative at cosine 0. The bank has 2, so N / M = 1/2: h = e^(s/t) / (e^(s/t) + 1/2).
    a, b = np.array([[1.0, 0.0]], np.float32), np.array([[[0.0, 1.0]]], np.float32)
    h_partner, h_other = expit(1 / 0.5 - np.log(0.5)), 1 / 1.5
    loss = losses.crd(a, a, b, t=0.5, examples=2, form='paper')
    np.testing.assert_allclose(loss, [-np.log(h_partner) - np.log(1 - h_other)], rtol=1e-5)


def test_crd_with_a_constant_divides_every_score_by_it():
    # Scores e^2 and 1 over z = 4: x M = 2 score / 4, N = 1, h = score / (score + 2).
    a, b = np.array([[1.0, 0.0]], np.float32), np.array([[[0.0, 1.0]]], np.float32)
    told, other = np.exp(2.0) / (np.exp(2.0) + 2.0), 1 / 3
    loss = losses.crd(a, a, b, t=0.5, examples=2, form='constant', z=4.0)
    np.testing.assert_allclose(loss, [-np.log(told) - np.log(1 - other)], rtol=1e-5)


def test_crd_per_example_divides_by_the_mean_of_the_negatives_for_any_size_of_the_bank():
    # Partner: e^2. Negatives: 1 and e^-2, with mean m. So x M = score / m, N = 2 and h = score / (score + 2 m).
    a, b = np.array([[1.0, 0.0]], np.float32), np.array([[[0.0, 1.0], [-1.0, 0.0]]], np.float32)
    m = (1 + np.exp(-2.0)) / 2
    told, first, second = (score / (score + 2 * m) for score in (np.exp(2.0), 1.0, np.exp(-2.0)))
    expected = -np.log(told) - np.log(1 - first) - np.log(1 - second)
    for examples in (3, 60_000):
        np.testing.assert_allclose(losses.crd(a, a, b, t=0.5, examples=examples), [expected], rtol=1e-5)
    # By hand, m constant: by its cos / t, -log h has the derivative -(1 - h), and -log(1 - h') the derivative h'.

    def turned(angle):
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)])[None]

    slope = jax.grad(lambda angle: losses.crd(turned(angle), a, b, t=0.5, examples=9)[0])(0.0)
    np.testing.assert_allclose(slope, 2 * first, rtol=1e-5)  # only this cosine changes at 0; 1 / t = 2


def test_a_partner_among_many_distant_negatives_adds_almost_nothing_to_crd():
    # None of 1,000 random negatives in 64 dimensions is near: the partner has h near 1; the negatives make the loss.
    others = np.random.default_rng(0).normal(size=(1, 1000, 64)).astype(np.float32)
    a = np.eye(64, dtype=np.float32)[:1]
    scores = np.exp((others / np.linalg.norm(others, axis=-1, keepdims=True))[0, :, 0].astype(np.float64) / 0.07)
    h = scores / (scores + 1000 * scores.mean())
    loss = losses.crd(a, a, others, examples=60_000)
    np.testing.assert_allclose(loss, -np.sum(np.log1p(-h)), atol=2e-2)
