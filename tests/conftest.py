"""What tests of several rooms compare with."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')  # libtpu is installed for preflight; without this JAX looks for a TPU

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def _raw(array):
    return jax.random.key_data(array) if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else array


@pytest.fixture(scope='session')
def assert_bitwise():
    """`assert_bitwise(got, wanted)`: trees of one structure whose arrays are the same, bit for bit."""

    def compare(got, wanted):
        assert jax.tree.structure(got) == jax.tree.structure(wanted)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(_raw(a), _raw(b), strict=True), got, wanted)

    return compare
