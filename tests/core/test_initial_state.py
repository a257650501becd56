"""Initial variables: random ones by the names of networks, and loaded ones in their place."""

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from tests.small_recipes import BATCH, LINEAR, SMALL, assert_close, recipe_of, soft


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


def test_a_fresh_module_keeps_its_random_start_and_the_others_take_the_loaded_one():
    made = recipe_of({'student': {**SMALL, 'init': 'run:teacher', 'fresh': 'head'}}, {})
    random, _ = init_state(made, BATCH, seed=0)
    loaded = {'params': {'dense1': jax.tree.map(lambda a: a + 1.0, random.params['student']['dense1'])}}
    state, _ = init_state(made, BATCH, seed=0, loaded={'student': loaded})
    jax.tree.map(np.testing.assert_array_equal, state.params['student']['head'], random.params['student']['head'])
    jax.tree.map(np.testing.assert_array_equal, state.params['student']['dense1'], loaded['params']['dense1'])


def test_networks_that_differ_in_name_alone_start_from_other_weights_and_one_name_from_the_same():
    first, _ = init_state(recipe_of({'a': SMALL, 'b': SMALL}, {}), BATCH, seed=0)
    other, _ = init_state(recipe_of({'z': SMALL, 'a': SMALL}, {}), BATCH, seed=0)
    jax.tree.map(np.testing.assert_array_equal, first.params['a'], other.params['a'])
    assert not np.array_equal(first.params['a']['head']['kernel'], first.params['b']['head']['kernel'])


def test_frozen_parameters_are_kept_in_the_precision_in_which_they_compute_and_nothing_changes():
    low = {**LINEAR, 'compute_dtype': 'bfloat16'}
    made = recipe_of({'a': low, 'frozen': {**low, 'update': 'frozen'}}, {'soft': soft('a', 'frozen.logits')})
    state, frozen = init_state(made, BATCH, seed=0)
    assert {a.dtype for a in jax.tree.leaves(frozen)} == {jnp.dtype('bfloat16')}
    assert {a.dtype for a in jax.tree.leaves(state.params)} == {jnp.dtype('float32')}
    wide = {'params': jax.tree.map(lambda a: a + 1e-5, state.params['a'])}  # not representable in bfloat16
    _, kept = init_state(made, BATCH, seed=0, loaded={'frozen': wide})
    step = jax.jit(make_train_step(made, 10))
    results = [step(state, made.hparams, {'frozen': own}, BATCH) for own in (wide, kept['frozen'])]
    jax.tree.map(np.testing.assert_array_equal, *[(s.params, metrics) for s, metrics in results])
