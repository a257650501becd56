"""The constant of CRD."""

import jax
import numpy as np

from kd_jax import models


def test_z_is_that_of_the_first_batch_and_stays():
    # Cosines 1 with the partner and 0 with the negative: 10 * (e^(1 / 0.5) + 1) / 2.
    module, a, b = models.first_batch_z(examples=10, t=0.5), np.eye(2)[:1], np.eye(2)[None, 1:]
    first = 5 * (np.exp(2.0) + 1)
    empty = module.init(jax.random.key(0), a, a, b)
    out, kept = module.apply(empty, 3.0 * a, a, b, train=True, mutable=['z'])
    np.testing.assert_allclose([out['z'], kept['z']['z']], first, rtol=1e-6)
    out, later = module.apply(kept, a, -a, b, train=True, mutable=['z'])
    np.testing.assert_allclose([out['z'], later['z']['z']], first, rtol=1e-6)
    np.testing.assert_allclose(module.apply(kept, a, -a, b)['z'], first, rtol=1e-6)
