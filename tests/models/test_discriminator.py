"""The discriminator."""

import jax
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def test_both_sides_are_scored_by_one_function():
    discriminator = models.discriminator(hidden=(4,))
    one, other = RNG.normal(size=(2, 3, 5)).astype(np.float32)
    variables = discriminator.init(KEY, one, other)
    out, swapped = discriminator.apply(variables, one, other), discriminator.apply(variables, other, one)
    np.testing.assert_array_equal(out['student'], swapped['target'])
    assert out['student'].shape == (3,)
    with pytest.raises(UserError, match='5 features and the teacher 4'):
        discriminator.init(KEY, one, other[:, :4])
