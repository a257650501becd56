"""Which variables a network takes over, and what is said of those that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.inherited_weights import (
    check_finite,
    check_fresh,
    layers_to_take,
    source_for,
    take_layers,
    without_fresh,
)
from kd_jax.core.network import Network


def variables(width=4, num_classes=3):
    return {
        'params': {'dense': {'kernel': np.zeros((5, width))}, 'head': {'bias': np.zeros(num_classes)}},
        'batch_stats': {'dense': {'mean': np.zeros(width)}},
    }


def network(**options):
    return Network('student', None, (), **options)


def test_fresh_modules_need_not_fit_and_all_others_must():
    there = {'teacher': variables(num_classes=9)}
    assert source_for(network(fresh=('head',)), '', there, variables(), 'here', 'there') == 'teacher'
    with pytest.raises(UserError) as error:
        source_for(network(), 'teacher', there, variables(), 'here', 'the run')
    said = 'here does not fit the run: params/head/bias is (9,) there and (3,) here; use the same model.'
    assert str(error.value) == said
    with pytest.raises(UserError, match=r'batch_stats/dense/mean is \(6,\) there and \(4,\) here'):
        source_for(network(), '', {'teacher': variables(width=6)}, variables(), 'here', 'there')


def test_a_module_that_only_one_of_the_two_has_is_named():
    there, own = {'teacher': variables()}, variables()
    del own['params']['head']
    with pytest.raises(UserError, match=r'params/head/bias is \(3,\) there and missing here'):
        source_for(network(), '', there, own, 'here', 'there')
    assert source_for(network(part=('dense',)), '', there, own, 'here', 'there') == 'teacher'


def test_of_several_networks_one_is_named():
    there = {'teacher': variables(), 'student': variables()}
    assert source_for(network(), 'student', there, variables(), 'here', 'there') == 'student'
    with pytest.raises(UserError, match='there has several networks: name one as NAME/NETWORK'):
        source_for(network(), '', there, variables(), 'here', 'there')
    with pytest.raises(UserError, match=r"there has no network 'techer'. Did you mean 'teacher'\?"):
        source_for(network(), 'techer', there, variables(), 'here', 'there')


def test_what_is_given_are_the_parts_without_the_fresh_modules():
    modules = {'params': {name: name for name in 'abc'}, 'batch_stats': {'a': 'mean'}}
    for options, params, statistics in (
        ({}, 'abc', {'a': 'mean'}),
        ({'fresh': ('a',)}, 'bc', {}),
        ({'part': ('a', 'c')}, 'ac', {'a': 'mean'}),
        ({'part': ('a', 'c'), 'fresh': ('a',)}, 'c', {}),
    ):
        given = without_fresh(modules, network(**options))
        assert given == {'params': {name: name for name in params}, 'batch_stats': statistics}


def test_a_module_of_another_name_is_no_part_and_cannot_start_fresh():
    with pytest.raises(UserError, match=r"here has no module 'haed' to start fresh. Did you mean 'head'\?"):
        check_fresh(network(fresh=('haed',)), variables(), 'here')
    with pytest.raises(UserError, match=r"here has no module 'dens' to take from there. Did you mean 'dense'\?"):
        check_fresh(network(part=('head', 'dens')), variables(), 'here')


@pytest.mark.parametrize('kind', [np.asarray, jnp.asarray, lambda values: jnp.asarray(values, jnp.bfloat16)])
def test_weights_that_are_not_finite_are_named_with_their_count_and_origin(kind):
    tree = {'params': {'dense': {'kernel': kind([[1.0, np.nan], [-np.inf, 2.0]])}}, 'count': np.zeros(3, int)}
    with pytest.raises(UserError) as error:
        check_finite(tree, 'here', 'teacher.pth')
    said = 'here: 2 of the 4 values of params/dense/kernel in teacher.pth are NaN or infinite; take other weights.'
    assert str(error.value) == said
    check_finite(variables(), 'here', 'teacher.pth')
    check_finite({'key': jax.random.key(0), 'arrays': [np.ones(2), jnp.ones(2)]}, 'here', 'teacher.pth')


class Stack:
    """A model whose module 'layers' leads with the axis of layers."""

    stacked = ('layers',)


def stack(layers):
    return {'params': {'layers': {'kernel': np.arange(3.0 * layers).reshape(layers, 3)}, 'head': {'bias': np.ones(2)}}}


def test_layers_are_taken_by_their_numbers_from_1():
    some = Network('student', Stack(), (), init='run:a', init_layers=(1, 4))
    assert layers_to_take(some, 4, stack(2), 'here', 'there') == (0, 3)
    taken = take_layers(stack(4), some)
    np.testing.assert_array_equal(taken['params']['layers']['kernel'], [[0, 1, 2], [9, 10, 11]])
    np.testing.assert_array_equal(taken['params']['head']['bias'], [1, 1])
    assert source_for(some, '', {'net': stack(4)}, stack(2), 'here', 'there') == 'net'
    every = Network('student', Stack(), (), init='run:a')
    assert layers_to_take(every, 3, stack(3), 'here', 'there') == (0, 1, 2)
    assert take_layers(there := stack(3), every) is there


def test_layers_that_do_not_exist_are_refused():
    def check(layers=(1, 4), module=None, **options):
        chosen = Network('student', module or Stack(), (), init='run:a', init_layers=layers, **options)
        source_for(chosen, '', {'net': stack(4)}, stack(2), 'here', 'the run')

    check()
    with pytest.raises(UserError, match='here: init_layers has 5, but the run has 4 layers'):
        check((1, 5))
    with pytest.raises(UserError, match='here: init_layers names 3 layers, but the model has 2; name one for each'):
        check((1, 2, 3))
    with pytest.raises(
        UserError, match='here cannot have init_layers, because its model has no stack of layers; leave'
    ):
        check(module=object())
    with pytest.raises(UserError, match='here cannot have init_layers, because it has copies'):
        check(copies=2)
