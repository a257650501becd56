"""The state before the first step."""

import numpy as np

from kd_jax.core.initial_state import init_state
from tests.small_recipes import (
    BATCH,
    LINEAR,
    assert_close,
    recipe_of,
)


def test_initial_parameters_come_from_names_and_differ_between_copies():
    networks = {'first': {**LINEAR, 'copies': 2}, 'frozen': {**LINEAR, 'update': 'frozen'}, 'last': LINEAR}
    state, frozen = init_state(recipe_of(networks, {}), BATCH, seed=0)
    given = {'frozen': {'params': {'head': {'kernel': np.ones((5, 3)), 'bias': np.zeros(3)}}}}
    alone, loaded = init_state(
        recipe_of({name: networks[name] for name in ('last', 'frozen')}, {}), BATCH, seed=0, loaded=given
    )
    assert_close(state.params['last'], alone.params['last'], rtol=0, atol=0)
    kernels = state.params['first']['head']['kernel']
    for other in (
        kernels[1],
        state.params['last']['head']['kernel'],
        frozen['frozen']['params']['head']['kernel'],
    ):
        assert np.all(kernels[0] != other)
    assert_close(loaded, given)
