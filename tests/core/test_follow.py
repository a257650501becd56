import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.follow import follow, parse_follow, start_values
from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from tests.small_recipes import BATCH, SMALL, TOTAL, assert_close, hard, recipe_of, start, train


def tree(*values):
    return {'w': np.float32(values), 'count': np.int32(values)}


def followed(options, sources, own, total=10):
    """The follower's values after each step; the source takes the given values, one a step."""
    rule, numbers = parse_follow(dict(options), 'here')
    states = [own]
    for step, source in enumerate(sources):
        states.append(follow(rule, source, states[-1], numbers, step / total, jnp.int32(step + 1))[0])
    return [state['w'] for state in states]


def test_a_moving_average_has_its_closed_form():
    sources = [tree(8.0), tree(4.0), tree(-2.0)]
    *_, last = followed({'rule': 'ema', 'decay': 0.5, 'warmup': False}, sources, tree(16.0))
    # 0.125 * 16 + 0.125 * 8 + 0.25 * 4 - 0.5 * 2
    np.testing.assert_allclose(last, [3.0])


def test_a_young_moving_average_is_the_mean_of_all_values_so_far():
    sources = [tree(8.0), tree(4.0), tree(-2.0), tree(10.0)]
    found = followed({'rule': 'ema', 'decay': 0.75}, sources, tree(16.0))
    # The means of 16, 8; 16, 8, 4; 16, 8, 4, -2; then 1 - 1/5 exceeds the decay: 0.75 * 6.5 + 0.25 * 10.
    np.testing.assert_allclose(np.ravel(found), [16.0, 12.0, 28 / 3, 6.5, 7.375], rtol=1e-6)
    every = followed({'rule': 'ema', 'decay': 0.75, 'every': 2}, sources, tree(16.0))
    np.testing.assert_allclose(np.ravel(every), [16.0, 16.0, 10.0, 10.0, 10.0], rtol=1e-6)


def test_the_decay_of_a_moving_average_may_be_a_schedule():
    decay = {'schedule': 'linear', 'start': 0.0, 'end': 1.0}
    options = {'rule': 'ema', 'decay': decay, 'warmup': False}
    _, one, two, three = followed(options, [tree(8.0)] * 2 + [tree(4.0)], tree(16.0), total=4)
    # The decays are 0, 1/4 and 1/2.
    np.testing.assert_allclose([one, two, three], [[8.0], [8.0], [6.0]])


def test_a_copy_is_taken_at_every_so_many_steps_and_in_between_nothing_moves():
    values = followed({'rule': 'copy', 'every': 3}, [tree(float(step)) for step in range(1, 8)], tree(0.0))
    np.testing.assert_array_equal(np.ravel(values), [0, 0, 0, 3, 3, 3, 6, 6])


def test_an_average_is_the_mean_of_the_copies_and_they_take_it_back_if_asked_to():
    source, own = {'w': np.float32([[1.0, 2.0], [3.0, 6.0]])}, {'w': np.zeros(2, np.float32)}
    for broadcast, wanted in ((False, source['w']), (True, [[2.0, 4.0], [2.0, 4.0]])):
        rule, numbers = parse_follow({'rule': 'average', 'every': 2, 'broadcast': broadcast}, 'here')
        before, after = (follow(rule, source, own, numbers, 0.0, jnp.int32(step)) for step in (1, 2))
        np.testing.assert_array_equal(before[0]['w'], own['w'])
        np.testing.assert_array_equal(before[1]['w'], source['w'])
        np.testing.assert_array_equal(after[0]['w'], [2.0, 4.0])
        np.testing.assert_array_equal(after[1]['w'], wanted)


def test_counters_are_taken_from_the_source_and_keep_their_type():
    for options in ({'rule': 'ema', 'decay': 0.5}, {'rule': 'copy'}):
        rule, numbers = parse_follow(dict(options), 'here')
        found = follow(rule, tree(7.0), tree(3.0), numbers, 0.0, jnp.int32(1))[0]['count']
        assert (found.dtype, int(found[0])) == (jnp.int32, 7)
    rule, _ = parse_follow({'rule': 'average'}, 'here')
    assert follow(rule, {'n': np.int32([5, 6])}, {'n': np.int32(0)}, {}, 0.0, jnp.int32(1))[0]['n'] == 5


@pytest.mark.parametrize(
    ('broadcast', 'loaded', 'source_loaded', 'own', 'copies'),
    [
        (False, False, False, 3.0, [2.0, 4.0]),  # the mean
        (True, False, False, 9.0, [9.0, 9.0]),  # the copies start from the follower's own values
        (True, False, True, 3.0, [3.0, 3.0]),
        (True, True, True, 9.0, [9.0, 9.0]),
        (False, True, False, 9.0, [2.0, 4.0]),
    ],
)
def test_the_start_of_an_average(broadcast, loaded, source_loaded, own, copies):
    rule, _ = parse_follow({'rule': 'average', 'broadcast': broadcast}, 'here')
    source = {'w': np.float32([2.0, 4.0])}
    found, sent = start_values(rule, source, {'w': np.float32(9.0)}, loaded, source_loaded)
    assert float(found['w']) == own
    np.testing.assert_array_equal(sent['w'], copies)


def test_federated_averaging_is_local_steps_and_then_their_mean():
    server = {**SMALL, 'update': 'follow', 'of': 'client', 'rule': 'average', 'every': 2, 'broadcast': True}
    recipe = recipe_of({'client': {**SMALL, 'copies': 2}, 'server': server}, {'hard': hard('client')})
    alone = recipe_of({'client': SMALL}, {'hard': hard('client')})
    state, _ = start(recipe)
    states, _ = train(recipe, count=3, begin=(state, {}))
    step, ends = jax.jit(make_train_step(alone, TOTAL)), []
    for copy in range(2):
        own = state._replace(
            params={'client': jax.tree.map(lambda a, i=copy: a[i], state.params['client'])},
            opt_state=jax.tree.map(lambda a, i=copy: a[i], state.opt_state),
            collections={'client': {}},
        )
        for _ in range(2):
            own, _ = step(own, alone.hparams, {}, BATCH)
        ends.append(own.params['client'])
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *ends)
    jax.tree.map(np.testing.assert_array_equal, states[1].params['server'], state.params['server'])
    assert_close(states[2].params['server'], mean)
    for copy in range(2):
        assert_close(jax.tree.map(lambda a, i=copy: a[i], states[2].params['client']), mean)
    jax.tree.map(np.testing.assert_array_equal, states[3].params['server'], states[2].params['server'])


def test_clients_start_alike_and_an_average_of_another_model_is_refused():
    server = {**SMALL, 'update': 'follow', 'of': 'client', 'rule': 'average', 'broadcast': True}
    networks = {'client': {**SMALL, 'copies': 3}, 'server': server}
    state, _ = init_state(recipe_of(networks, {'hard': hard('client')}), BATCH, seed=0)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, np.stack([b] * 3)), state.params['client'], state.params['server']
    )
    other = recipe_of({**networks, 'server': {**server, 'hidden': [5]}}, {'hard': hard('client')})
    with pytest.raises(UserError, match="network 'server' follows 'client', so it must have the same model"):
        check_recipe(other, BATCH)
