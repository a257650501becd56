"""Initial variables, and shapes of variables and activations that are found without computing them."""

import jax
import numpy as np
import pytest

from kd_jax.core.activation_shapes import init_variables, network_shapes
from tests.small_recipes import BATCH, LINEAR, SMALL, Mixture, assert_close, recipe_of


def shapes(tree):
    return jax.tree.map(lambda a: a.shape, tree)


def network(name='a', **networks):
    return recipe_of({'a': SMALL, **networks}, {}).network(name)


@pytest.mark.parametrize('copies', [0, 2])
def test_shapes_are_those_of_the_variables_and_activations(copies):
    stack = (copies,) if copies else ()
    one = network(a={**SMALL, 'copies': copies})
    variables, activations = network_shapes(one, {'batch': BATCH})
    # 5 inputs, 6 hidden units, 3 classes and 8 examples.
    assert shapes(variables) == {
        'params': {
            'dense1': {'kernel': (*stack, 5, 6), 'bias': (*stack, 6)},
            'head': {'kernel': (*stack, 6, 3), 'bias': (*stack, 3)},
        }
    }
    assert shapes(activations) == {'hidden1': (*stack, 8, 6), 'logits': (*stack, 8, 3)}
    assert shapes(init_variables(one, [BATCH['image']], jax.random.key(0))) == shapes(variables)


def test_copies_that_read_stacked_arrays_have_variables_for_one_of_them():
    body = {**SMALL, 'copies': 2}
    head = network('head', a=body, head={**LINEAR, 'input': 'a.hidden1', 'copies': 2})
    variables, activations = network_shapes(head, {'a': {'hidden1': np.zeros((2, 8, 6), np.float32)}})
    assert shapes(variables)['params']['head']['kernel'] == (2, 6, 3)
    assert shapes(activations)['logits'] == (2, 8, 3)


def test_a_function_of_several_networks_has_the_variables_of_each():
    mix = network('mix', b=LINEAR, mix={'model': Mixture, 'update': 'shared', 'of': ['a', 'b']})
    (first, second), activations = network_shapes(mix, {'batch': BATCH})
    assert (set(first['params']), set(second['params'])) == ({'dense1', 'head'}, {'head'})
    assert shapes(activations) == {'logits': (8, 3)}


def test_a_copy_starts_as_its_key_says_and_the_key_is_of_the_name():
    key = jax.random.key(0)
    many = init_variables(network(a={**SMALL, 'copies': 2}), [BATCH['image']], key)
    again = init_variables(network(a={**SMALL, 'copies': 2}), [BATCH['image']], key)
    other = init_variables(network('b', b={**SMALL, 'copies': 2}), [BATCH['image']], key)
    kernels = [tree['params']['dense1']['kernel'] for tree in (many, other)]
    assert_close(many, again, rtol=0, atol=0)
    assert np.all(kernels[0][0] != kernels[0][1])
    assert np.all(kernels[0] != kernels[1])
