"""Points of strokes and PointNet, by hand."""

import jax
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def test_points_are_the_bright_pixels_and_missing_ones_repeat_the_brightest():
    image = np.zeros((1, 3, 5), np.float32)
    image[0, 0, 4], image[0, 2, 2] = 0.5, 1.0
    points = models.stroke_points(count=4, height=True).apply({}, image)['points']
    # x runs from -1 to 1 over 5 columns, y over 3 rows.
    np.testing.assert_allclose(points[0], [[0, 1, 1.0], [1, -1, 0.5], [0, 1, 1.0], [0, 1, 1.0]])
    with pytest.raises(UserError, match='cannot take 16 points from images of shape'):
        models.stroke_points(count=16).apply({}, image)


def test_neither_the_order_nor_the_repetition_of_points_changes_the_output():
    points, net = RNG.normal(size=(2, 6, 3)).astype(np.float32), models.pointnet(point_units=(8, 16), hidden=(8,))
    variables = net.init(KEY, points)
    out = net.apply(variables, points)
    for other in (points[:, [3, 1, 5, 0, 4, 2]], np.concatenate([points, points[:, :2]], axis=1)):
        for name, array in net.apply(variables, other).items():
            np.testing.assert_allclose(array, out[name], rtol=1e-5, atol=1e-6)
    assert {name: a.shape for name, a in out.items()} == {'features': (2, 16), 'logits': (2, 10)}
