"""The variables of the networks in a training state."""

from kd_jax.core.state import NUMBERS, State, all_variables, moving_variables


def test_a_networks_variables_are_its_parameters_beside_its_other_collections():
    params, collections = {'a': {'w': 1}, 'b': {'w': 2}}, {'a': {'batch_stats': {'mean': 3}}}
    moving = {'a': {'params': {'w': 1}, 'batch_stats': {'mean': 3}}, 'b': {'params': {'w': 2}}}
    assert moving_variables(params, collections) == moving


def test_all_variables_are_those_of_frozen_networks_too_and_numbers_if_there_are_any():
    state = State(0, {'a': {'w': 1}}, {'a': {}}, {}, 0)
    frozen = {'teacher': {'params': {'w': 5}}}
    variables = {'a': {'params': {'w': 1}}, 'teacher': {'params': {'w': 5}}}
    assert all_variables(state, frozen, {}) == variables
    numbers = {'a': {'dropout': 0.5}}
    assert all_variables(state, frozen, numbers) == {**variables, NUMBERS: numbers}
