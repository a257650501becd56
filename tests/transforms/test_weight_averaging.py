"""The mean of weights, by hand, and what cannot be averaged."""

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.transforms import average_weights
from kd_jax.transforms.network_weights import NetworkWeights


def network(kernel, run='a', count=0, **options):
    variables = {'params': {'dense': {'kernel': np.array(kernel, np.float32)}}, 'steps': {'count': np.int32(count)}}
    return NetworkWeights('student', f"run '{run}'", variables, {'model': 'mlp', 'hidden': (2,), **options})


def kernel(made):
    return made.variables['params']['dense']['kernel']


def test_the_mean_of_three_networks():
    made = average_weights(network([1.0, -3.0], count=7), network([2.0, 0.0]), network([6.0, 9.0]))
    np.testing.assert_allclose(kernel(made), [3.0, 2.0], rtol=1e-6)  # (1 + 2 + 6) / 3, (-3 + 0 + 9) / 3
    assert kernel(made).dtype == np.float32
    assert made.variables['steps']['count'] == 7  # whole numbers are those of the first


def test_weights_are_relative():
    for weights in ((3.0, 1.0), (0.75, 0.25)):
        made = average_weights(network([4.0]), network([8.0]), weights=weights)
        np.testing.assert_allclose(kernel(made), [5.0], rtol=1e-6)  # 0.75 * 4 + 0.25 * 8


def test_the_mean_of_one_network_is_that_network_bit_for_bit(assert_bitwise):
    alone = network([0.1, -0.0, 1e-40])
    for weights in ((), (0.3,)):
        assert_bitwise(average_weights(alone, weights=weights).variables, alone.variables)


def test_the_order_of_two_networks_makes_no_difference(assert_bitwise):
    a, b = network([0.1, 0.7]), network([0.3, -0.2])
    assert_bitwise(average_weights(a, b).variables, average_weights(b, a).variables)


def test_options_are_those_of_the_first_network_and_numbers_may_differ():
    made = average_weights(network([1.0], dropout=0.5), network([1.0], 'b', dropout=0.1, hidden=[2]))
    assert made.options == {'model': 'mlp', 'hidden': (2,), 'dropout': 0.5}


def test_shapes_are_known_without_values():
    def of_shapes(*variables):
        networks = [network([0.0] * 3)._replace(variables=own) for own in variables]
        return average_weights(*networks).variables

    own = network([1.0, 2.0, 3.0]).variables
    made = jax.eval_shape(of_shapes, own, own)
    assert made['params']['dense']['kernel'].shape == (3,)


@pytest.mark.parametrize(
    ('other', 'said'),
    [
        (network([1.0, 2.0], 'b'), r"params/dense/kernel is \(1,\) in run 'a' and \(2,\) in run 'b'"),
        (network([1.0], 'b', model='cnn'), "model is mlp in run 'a' and cnn in run 'b'"),
        (network([1.0], 'b', activation='tanh'), "activation is missing in run 'a' and tanh in run 'b'"),
    ],
)
def test_unlike_networks_are_refused(other, said):
    with pytest.raises(UserError, match=f'must be alike, but {said}'):
        average_weights(network([1.0]), other)


def test_networks_that_differ_in_a_whole_number_are_refused_although_their_shapes_are_alike():
    with pytest.raises(UserError, match="must be alike, but heads is 2 in run 'a' and 4 in run 'b'"):
        average_weights(network([1.0], heads=2), network([1.0], 'b', heads=4))


def test_networks_that_differ_in_a_setting_that_no_shape_shows_are_refused():
    one, other = (network([1.0], run)._replace(settings={'base': base}) for run, base in (('a', 1e4), ('b', 500.0)))
    assert average_weights(one, one).settings == {'base': 1e4}
    with pytest.raises(UserError, match=r"must be alike, but base is 10000\.0 in run 'a' and 500\.0 in run 'b'"):
        average_weights(one, other)


@pytest.mark.parametrize('weights', [(1.0,), (1.0, 1.0, 1.0), (0.0, 0.0)])
def test_weights_of_another_number_of_networks_are_refused(weights):
    with pytest.raises(UserError, match='must have 2 numbers, not all 0: one per network'):
        average_weights(network([1.0]), network([2.0]), weights=weights)


@pytest.mark.parametrize('weights', [0.5, (1.0, -1.0), (1.0, 'x'), (1.0, float('nan')), ({'schedule': 'linear'}, 1.0)])
def test_weights_that_are_no_numbers_are_refused(weights):
    with pytest.raises(UserError, match='must be a tuple of numbers, 0 or more'):
        average_weights(network([1.0]), network([2.0]), weights=weights)
