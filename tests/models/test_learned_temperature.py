"""The learned temperature."""

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax import models

KEY = jax.random.key(0)


def test_a_temperature_ignores_its_input_and_stays_in_its_range():
    model = models.temperature(least=2.0, span=3.0)
    variables = model.init(KEY, jnp.full((2, 3), jnp.nan))
    np.testing.assert_allclose(model.apply(variables, None)['t'], 2.0 + 3.0 / (1.0 + np.exp(-1.0)), rtol=1e-6)
    for a, t in ((-1e4, 2.0), (0.0, 3.5), (1e4, 5.0)):
        np.testing.assert_allclose(model.apply({'params': {'a': jnp.float32(a)}}, None)['t'], t, rtol=1e-6)
