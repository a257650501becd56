"""A transform that a user writes: from a network to a network."""

import numpy as np

from kd_jax.transforms.network_weights import NetworkWeights
from tests.own_transforms import first_units


def test_a_transform_returns_variables_and_the_options_that_they_fit():
    params = {
        'dense1': {'kernel': np.arange(6.0).reshape(2, 3), 'bias': np.arange(3.0)},
        'head': {'kernel': np.arange(6.0).reshape(3, 2), 'bias': np.arange(2.0)},
    }
    before = NetworkWeights('net', "run 'a'", {'params': params}, {'model': 'mlp', 'hidden': (3,), 'dropout': 0.5})
    made = first_units(before, keep=2)
    assert (made.name, made.origin) == ('net', "run 'a'")
    assert made.options == {'model': 'mlp', 'hidden': (2,), 'dropout': 0.5}
    np.testing.assert_array_equal(made.variables['params']['dense1']['kernel'], [[0, 1], [3, 4]])
    np.testing.assert_array_equal(made.variables['params']['head']['kernel'], [[0, 1], [2, 3]])
