"""FSP, ICKD and KDSVD: hand-computed numbers and invariances."""

import jax
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from tests.losses.small_arrays import maps, random


def test_fsp_by_hand():
    # Positions (1, 2) and (3, 1) of the first layer, 1 and 2 of the second: flow (1 * 1 + 3 * 2, 2 * 1 + 1 * 2) / 2.
    first, second = maps([1.0, 2.0], [3.0, 1.0]), maps([1.0], [2.0])
    zero = np.zeros_like
    flow = np.array([3.5, 2.0])
    loss = losses.fsp(first, second, zero(first), zero(second), form='paper')
    np.testing.assert_allclose(loss, [np.sum(flow**2)], rtol=1e-6)
    np.testing.assert_allclose(losses.fsp(first, second, zero(first), zero(second)), [np.mean(flow**2)], rtol=1e-6)


def test_fsp_pools_the_larger_map_by_its_maximum():
    large, small = random(2, 4, 4, 3), random(2, 2, 2, 3)
    pooled = large.reshape(2, 2, 2, 2, 2, 3).max((2, 4))
    other = (random(2, 2, 2, 3, seed=1), random(2, 2, 2, 3, seed=2))
    np.testing.assert_allclose(losses.fsp(large, small, *other), losses.fsp(pooled, small, *other), rtol=1e-5)
    odd = losses.fsp(large[:, :3, :3], small, *other)
    pooled = np.pad(large[:, :3, :3], [(0, 0), (0, 1), (0, 1), (0, 0)], mode='edge').reshape(
        pooled.shape[0], 2, 2, 2, 2, 3
    )
    np.testing.assert_allclose(odd, losses.fsp(pooled.max((2, 4)), small, *other), rtol=1e-5)
    with pytest.raises(UserError, match='a map of 4 x 4 cannot be pooled to 3 x 3 by equal blocks'):
        losses.fsp(large, random(2, 3, 3, 3), random(2, 4, 4, 3), random(2, 3, 3, 3))


def test_ickd_by_hand():
    # Channels (1, 0) and (1, 1): Gram [[1, 1], [1, 2]], rows over their norms, against the identity; over 2 channels.
    student, teacher = maps([1.0, 1.0], [0.0, 1.0]), maps([1.0, 0.0], [0.0, 1.0])
    rows = np.array([[1, 1] / np.sqrt(2), [1, 2] / np.sqrt(5)])
    np.testing.assert_allclose(losses.ickd(student, teacher), [np.sum((rows - np.eye(2)) ** 2) / 2], rtol=1e-5)


def test_kdsvd_of_maps_of_rank_one_by_hand():
    # Each map has the same channels at every position: they are its leading singular vector, here with value 1.
    def layer(*direction):
        return np.broadcast_to(np.array(direction, np.float32), (1, 2, 2, len(direction)))

    # Student (1, 0) in both layers; teacher (1, 0), then (0.8, 0.6), matched by (1, 0): exp(-(a_i - b_j)^2 / 8).
    loss = losses.kdsvd(layer(1.0, 0.0), layer(1.0, 0.0), layer(1.0, 0.0), layer(0.8, 0.6))
    rows = np.array([[1.0], [0.0]])
    relations = [np.exp(-((rows - np.array(second)) ** 2) / 8) for second in ([1.0, 0.0], [0.8, 0.6])]
    np.testing.assert_allclose(loss, [np.sum((relations[0] - relations[1]) ** 2)], rtol=1e-4)


def test_kdsvd_of_one_position_has_one_singular_vector_and_the_arbitrary_ones_do_not_count():
    layers = [random(2, 1, 1, 6, seed=seed) for seed in range(4)]
    found = []
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype == np.float64):
            found.append(np.asarray(losses.kdsvd(*[layer.astype(dtype) for layer in layers])))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    # By hand: the only vector of a map is its direction, with the sign of a positive cosine, and the value 1.
    expected = []
    for row in range(2):
        s1, s2, t1, t2 = (layer[row].ravel().astype(np.float64) for layer in layers)
        t1, t2 = (t / np.linalg.norm(t) * np.sign(t.sum()) for t in (t1, t2))
        s1, s2 = (s / np.linalg.norm(s) * np.sign(s @ t) for s, t in ((s1, t1), (s2, t2)))
        relations = [np.exp(-((a[:, None] - b[None, :]) ** 2) / 8) for a, b in ((s1, s2), (t1, t2))]
        expected.append(np.sum((relations[0] - relations[1]) ** 2))
    np.testing.assert_allclose(found[1], expected, rtol=1e-6)


def test_kdsvd_does_not_depend_on_the_sign_or_size_of_the_students_maps():
    layers = [random(2, 3, 3, 4, seed=seed) for seed in range(4)]
    loss = jax.jit(losses.kdsvd)
    turned = loss(-2.0 * layers[0], 3.0 * layers[1], *layers[2:])
    np.testing.assert_allclose(turned, loss(*layers), rtol=1e-3)
