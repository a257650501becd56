"""Networks that use the parameters of another network: update='shared'."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.forward import network_numbers, run_networks
from kd_jax.core.initial_state import init_state
from kd_jax.core.state import all_variables
from kd_jax.core.step import make_train_step
from tests.small_recipes import LINEAR, SMALL, assert_close, hard, head, mixture, recipe_of, start

RNG = np.random.default_rng(0)
BATCH = {
    'image': RNG.uniform(size=(8, 5)).astype(np.float32),
    'other': RNG.uniform(size=(8, 5)).astype(np.float32),
    'label': RNG.integers(0, 3, size=8).astype(np.int32),
}
BOTH = {
    'image': np.concatenate([BATCH['image'], BATCH['other']]),
    'label': np.concatenate([BATCH['label'], BATCH['label']]),
}
AGAIN = {'update': 'shared', 'of': 'a', 'input': 'batch.other'}


def trained(networks, terms, batch=BATCH, count=2):
    recipe = recipe_of(networks, terms, momentum=0.9)
    state, frozen = init_state(recipe, batch, seed=0)
    step, states = jax.jit(make_train_step(recipe, 10)), [state]
    for _ in range(count):
        states.append(step(states[-1], recipe.hparams, frozen, batch)[0])
    return states


def test_one_network_on_two_inputs_learns_from_both_as_from_one_batch_of_them():
    together = trained({'a': SMALL}, {'hard': hard('a', weight=2.0)}, BOTH)
    apart = trained({'a': SMALL, 'b': AGAIN}, {'hard': hard('a'), 'again': hard('b')})
    assert set(apart[0].params) == {'a'}
    assert_close(apart[-1].params, together[-1].params)


def test_a_term_on_the_shared_network_alone_trains_the_one_that_owns_the_parameters():
    alone = trained({'a': {**SMALL, 'input': 'batch.other'}}, {'hard': hard('a')})
    shared = trained({'a': SMALL, 'b': AGAIN}, {'hard': hard('b')})
    assert_close(shared[-1].params, alone[-1].params)


def test_no_gradient_reaches_parameters_that_are_shared_as_constants_but_it_passes_through():
    networks = {
        'a': SMALL,
        'judge': {'model': 'mlp', 'hidden': [4], 'num_classes': 3, 'input': '~a.logits'},
        'judged': {'update': 'shared', 'of': '~judge', 'input': 'a.logits'},
    }
    begin, *_, end = trained(networks, {'fool': hard('judged')})
    jax.tree.map(np.testing.assert_array_equal, end.params['judge'], begin.params['judge'])
    assert all(np.any(a != b) for a, b in zip(*(jax.tree.leaves(s.params['a']) for s in (begin, end)), strict=True))
    # With a term of its own the judge is trained, and its next output comes from its new parameters.
    first, second = (trained(networks, {'fool': hard('judged'), 'judge': hard('judge', weight=w)}) for w in (0.0, 1.0))
    assert_close(first[-1].params, end.params)
    assert np.any(first[-1].params['judge']['head']['kernel'] != second[-1].params['judge']['head']['kernel'])
    assert_close(first[1].params['a'], second[1].params['a'])
    assert np.any(first[2].params['a']['head']['kernel'] != second[2].params['a']['head']['kernel'])


@pytest.mark.parametrize('of', [('a', 'b'), ('~a', 'b'), ('a', '~b'), ('a', 't'), ('t', 'a')])
def test_a_function_of_several_networks_passes_gradients_to_those_without_a_tilde(of):
    names = [name.removeprefix('~') for name in of]
    networks = {'a': LINEAR, 'b': LINEAR, 't': {**LINEAR, 'update': 'frozen'}, 'mix': mixture(*of, share=0.25)}
    recipe = recipe_of(networks, {'hard': hard('mix')})
    state, frozen = start(recipe, BATCH)
    after, metrics = jax.jit(make_train_step(recipe, 10))(state, recipe.hparams, frozen, BATCH)
    params = {**state.params, 't': frozen['t']['params']}
    (w, c), (v, d) = (head(params[name]) for name in names)
    logits = 0.25 * (BATCH['image'] @ w + c) + 0.75 * (BATCH['image'] @ v + d)
    error = (softmax(logits, axis=-1) - np.eye(3)[BATCH['label']]) / 8
    assert_close(metrics['hard'][0], -np.sum(log_softmax(logits, axis=-1)[np.arange(8), BATCH['label']]))
    for share, name in zip((0.25, 0.75), of, strict=True):
        if name in after.params:  # neither frozen nor a constant
            # The learning rate is a half.
            moved = params[name]['head']['kernel'] - 0.5 * share * BATCH['image'].T @ error
            assert_close(after.params[name]['head']['kernel'], moved)
    for name in {'a', 'b'} - set(of):
        jax.tree.map(np.testing.assert_array_equal, after.params[name], state.params[name])


def test_a_function_of_stacked_networks_is_one_of_each_pair_of_copies():
    networks = {'a': LINEAR, 'b': LINEAR}
    stacked = {name: {**options, 'copies': 2} for name, options in networks.items()}
    together = recipe_of({**stacked, 'mix': mixture('a', '~b')}, {'hard': hard('mix')})
    alone = recipe_of({**networks, 'mix': mixture('a', '~b')}, {'hard': hard('mix')})
    state, _ = start(together, BATCH)
    after, _ = jax.jit(make_train_step(together, 10))(state, together.hparams, {}, BATCH)
    step = jax.jit(make_train_step(alone, 10))
    for copy in range(2):
        own = [jax.tree.map(lambda a, i=copy: a[i], tree) for tree in (state.params, state.opt_state)]
        single, _ = step(state._replace(params=own[0], opt_state=own[1]), alone.hparams, {}, BATCH)
        assert_close(single.params, jax.tree.map(lambda a, i=copy: a[i], after.params))


def test_the_share_of_a_mixture_may_be_a_schedule():
    share = {'schedule': 'linear', 'start': 1.0, 'end': 0.0}
    recipe = recipe_of({'a': LINEAR, 'b': LINEAR, 'mix': mixture('a', 'b', share=share)}, {'hard': hard('mix')})
    state, frozen = start(recipe, BATCH)
    for progress, weights in ((0.0, (1.0, 0.0)), (0.25, (0.75, 0.25))):
        variables = all_variables(state, frozen, network_numbers(recipe, recipe.hparams, progress))
        seen, _ = run_networks(recipe.networks, variables, {'batch': BATCH}, jax.random.key(0), False)
        assert_close(
            seen['mix']['logits'], weights[0] * seen['a']['logits'] + weights[1] * seen['b']['logits'], rtol=1e-4
        )


def test_two_that_share_drop_units_of_their_own():
    wide = {'model': 'mlp', 'hidden': [64], 'num_classes': 3, 'dropout': 0.5}
    recipe = recipe_of({'a': wide, 'b': {**AGAIN, 'input': 'batch.image'}}, {'hard': hard('a')})
    state, frozen = init_state(recipe, BATCH, seed=0)
    for train, alike in ((True, False), (False, True)):
        variables = all_variables(state, frozen, {})
        seen, _ = run_networks(recipe.networks, variables, {'batch': BATCH}, jax.random.key(0), train)
        assert np.array_equal(seen['a']['logits'], seen['b']['logits']) == alike


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not train, momentum=0.5)(x))


def test_batch_statistics_kept_are_those_of_the_owner():
    begin, end = trained({'a': {'model': Normalised}, 'b': AGAIN}, {'hard': hard('a'), 'again': hard('b')}, count=1)
    mean = end.collections['a']['batch_stats']['BatchNorm_0']['mean']
    np.testing.assert_allclose(mean, 0.5 * BATCH['image'].mean(axis=0), rtol=1e-5)
    assert set(end.collections) == set(begin.collections) == {'a'}


def test_copies_are_shared_copy_by_copy_and_summed_over():
    stacked, again = {**SMALL, 'copies': 2}, {**AGAIN, 'input': 'batch.other'}
    together = trained({'a': stacked}, {'hard': hard('a', weight=2.0)}, BOTH)
    apart = trained({'a': stacked, 'b': again}, {'hard': hard('a'), 'again': hard('b')})
    assert_close(apart[-1].params, together[-1].params)


def test_a_student_trained_on_attacks_is_harder_to_attack():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, size=64).astype(np.int32)
    # The first coordinate separates the classes by 0.2 only, so an attack can flip it; the second by 0.4 or more.
    image = np.concatenate(
        [0.5 + 0.1 * (2 * label[:, None] - 1), rng.uniform(size=(64, 1)) * 0.2 + 0.6 * label[:, None]], 1
    )
    batch = {'image': image.astype(np.float32), 'label': label}
    attack = {'model': 'pgd', 'update': 'shared', 'of': '~a', 'input': ['batch.image', 'batch.label']}
    networks = {
        'a': {'model': 'mlp', 'hidden': [], 'num_classes': 2},
        'attack': {**attack, 'epsilon': 0.2, 'size': 0.1, 'steps': 4},
        'attacked': {'update': 'shared', 'of': 'a', 'input': 'attack.image'},
    }
    lost = []
    for name in ('a', 'attacked'):
        recipe = recipe_of(networks, {'hard': hard(name)})
        state = trained(networks, {'hard': hard(name)}, batch, count=40)[-1]
        variables = all_variables(state, {}, {})
        seen, _ = run_networks(recipe.networks, variables, {'batch': batch}, jax.random.key(1), False)
        lost.append(float(jnp.mean(jnp.argmax(seen['attacked']['logits'], -1) != label)))
    assert lost[1] < lost[0]


def test_inputs_that_the_parameters_do_not_fit_are_told():
    recipe = recipe_of({'a': SMALL, 'b': {**AGAIN, 'input': 'a.logits'}}, {'hard': hard('a')})
    with pytest.raises(
        UserError, match=r"'b' shares the parameters of 'a', but they do not fit its input a.logits \[8, 3\]"
    ):
        check_recipe(recipe, BATCH)
