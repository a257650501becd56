"""Numbers of networks that are schedules: in training, in evaluation, and where they are refused."""

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.activation_shapes import init_variables
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.forward import forward, network_numbers, run_networks
from kd_jax.core.initial_state import init_state
from kd_jax.core.network import Network
from kd_jax.core.state import all_variables
from kd_jax.core.step import make_train_step
from kd_jax.models.mlp import MLP
from tests.small_recipes import BATCH, SMALL, TOTAL, assert_close, hard, recipe_of, start

RISING = {'schedule': 'linear', 'start': 0.0, 'end': 0.5}


class Scaled(nn.Module):
    """A linear network whose logits are multiplied by an option; `shift` is its initial bias."""

    scale: float
    shift: float = 0.0
    units: int = 3

    @nn.compact
    def __call__(self, x, *, train=False):
        return self.scale * nn.Dense(self.units, bias_init=nn.initializers.constant(self.shift), name='head')(x)


class FlaxDropout(nn.Module):
    rate: float = 0.5

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3)(nn.Dropout(self.rate, deterministic=not train)(x))


def test_dropout_that_rises_is_dropout_at_the_rate_of_each_step():
    networks = {'a': {**SMALL, 'hidden': [30], 'dropout': RISING}}
    recipe = recipe_of(networks, {'hard': hard('a')})
    state, frozen = start(recipe)
    step = jax.jit(make_train_step(recipe, TOTAL))
    for done, rate in ((0, 0.0), (4, 0.2)):
        at = state._replace(step=np.int32(done))
        constant = recipe_of({'a': {**networks['a'], 'dropout': rate}}, {'hard': hard('a')})
        wanted, _ = jax.jit(make_train_step(constant, TOTAL))(at, constant.hparams, frozen, BATCH)
        assert_close(step(at, recipe.hparams, frozen, BATCH)[0].params, wanted.params)


def test_another_number_compiles_nothing():
    recipe = recipe_of({'a': {**SMALL, 'dropout': RISING}}, {'hard': hard('a')})
    assert recipe.hparams['networks'] == {'a': {'dropout': {'start': 0.0, 'end': 0.5}}}
    step = jax.jit(make_train_step(recipe, TOTAL))
    state, frozen = start(recipe)
    kernels = []
    for end in (0.5, 0.9):
        hparams = {**recipe.hparams, 'networks': {'a': {'dropout': {'start': 0.3, 'end': end}}}}
        after, _ = step(state._replace(step=np.int32(5)), hparams, frozen, BATCH)
        kernels.append(after.params['a']['dense1']['kernel'])
    assert step._cache_size() == 1
    assert np.any(kernels[0] != kernels[1])


def test_runs_of_other_numbers_are_stacked():
    scale = {'schedule': 'linear', 'start': 1.0, 'end': 3.0}
    recipe = recipe_of({'a': {'model': Scaled, 'scale': scale}}, {'hard': hard('a')})
    state, frozen = start(recipe)
    step, numbers = make_train_step(recipe, TOTAL), np.float32([1.0, 2.0])
    hparams = {**recipe.hparams, 'networks': {'a': {'scale': {'start': numbers, 'end': numbers}}}}
    axes = jax.tree.map(lambda leaf: 0 if isinstance(leaf, np.ndarray) else None, hparams)
    stacked, _ = jax.jit(jax.vmap(step, in_axes=(None, axes, None, None)))(state, hparams, frozen, BATCH)
    for place, number in enumerate(numbers):
        own = {**recipe.hparams, 'networks': {'a': {'scale': {'start': number, 'end': number}}}}
        alone, _ = jax.jit(step)(state, own, frozen, BATCH)
        assert_close(alone.params, jax.tree.map(lambda a, i=place: a[i], stacked.params))


def logits_after(recipe, state, frozen, steps):
    numbers = network_numbers(recipe, recipe.hparams, steps / TOTAL)
    variables = all_variables(state, frozen, numbers)
    return run_networks(recipe.networks, variables, {'batch': BATCH}, jax.random.key(0), train=False)[0]


def test_evaluation_has_the_number_of_the_step_that_is_evaluated():
    scale = {'schedule': 'linear', 'start': 1.0, 'end': 3.0}
    networks = {
        'a': {'model': Scaled, 'scale': scale},
        'twice': {'model': Scaled, 'scale': scale, 'copies': 2},
        'same': {'update': 'shared', 'of': 'a'},
        'plain': {'model': Scaled, 'scale': 1.0},
    }
    recipe = recipe_of(networks, {name: hard(name) for name in networks})
    state, frozen = start(recipe)
    seen = {steps: logits_after(recipe, state, frozen, steps) for steps in (0, 5)}
    for name in ('a', 'twice', 'same'):
        assert_close(seen[5][name]['logits'], 2.0 * seen[0][name]['logits'])
    assert_close(seen[5]['plain'], seen[0]['plain'])
    assert_close(seen[5]['same'], seen[5]['a'])


def test_an_attack_is_on_the_network_as_it_is_now():
    attack = {'model': 'pgd', 'update': 'shared', 'of': '~a', 'input': ['batch.image', 'batch.label']}
    networks = {
        'a': {'model': Scaled, 'scale': {'schedule': 'steps', 'start': 1.0, 'at': (0.5,), 'factor': -1.0}},
        'attack': {**attack, 'epsilon': {'schedule': 'linear', 'start': 0.01, 'end': 0.02}, 'random_start': False},
    }
    recipe = recipe_of(networks, {'hard': hard('a')})
    batch = {**BATCH, 'image': np.full((8, 5), 0.5, np.float32)}
    state, frozen = start(recipe, batch)

    def moved(steps):
        variables = all_variables(state, frozen, network_numbers(recipe, recipe.hparams, steps / TOTAL))
        seen, _ = run_networks(recipe.networks, variables, {'batch': batch}, jax.random.key(0), train=False)
        return seen['attack']['image'] - 0.5

    # Where the logits have the other sign, what raises the loss of two classes lowers it; the ball has grown by half.
    first, later = moved(0), moved(5)
    assert_close(np.abs(first).max(), 0.01, atol=1e-6)
    assert_close(np.abs(later).max(), 0.015, atol=1e-6)
    assert np.any(np.sign(first) != np.sign(later))


def test_the_initial_state_has_the_numbers_of_the_start():
    shift = {'schedule': 'linear', 'start': 0.25, 'end': 1.0}
    recipe = recipe_of({'a': {'model': Scaled, 'scale': 1.0, 'shift': shift}}, {'hard': hard('a')})
    other = {**recipe.hparams, 'networks': {'a': {'shift': {'start': 0.75, 'end': 1.0}}}}
    for hparams, wanted in ((recipe.hparams, 0.25), (other, 0.75)):
        changed = type(recipe)(recipe.networks, recipe.terms, hparams)
        state, _ = jax.jit(lambda changed=changed: init_state(changed, BATCH, seed=0))()
        np.testing.assert_allclose(state.params['a']['head']['bias'], wanted)


def test_low_precision_takes_numbers_too():
    constant, scheduled = (
        recipe_of({'a': {**SMALL, 'dropout': dropout, 'compute_dtype': 'bfloat16'}}, {'hard': hard('a')})
        for dropout in (0.2, {'schedule': 'linear', 'start': 0.2, 'end': 0.2})
    )
    state, frozen = start(constant)
    wanted, got = (
        jax.jit(make_train_step(recipe, TOTAL))(state, recipe.hparams, frozen, BATCH)[0]
        for recipe in (constant, scheduled)
    )
    assert_close(got.params, wanted.params)


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        ({'model': MLP, 'hidden': [4], 'init_sd': RISING}, "network 'a': init_sd cannot be a schedule, because the m"),
        ({'model': FlaxDropout, 'rate': RISING}, r'rate cannot be a schedule.*use kd_jax.models.layers.Dropout'),
    ],
)
def test_a_number_that_the_model_must_know_is_no_schedule(network, message):
    with pytest.raises(UserError, match=message):
        check_recipe(recipe_of({'a': network}, {'hard': hard('a')}), BATCH)


def test_copies_convolve_at_once_but_on_cpus_one_after_another_and_each_as_it_would_alone():
    cnn = {'model': 'cnn', 'channels': [2], 'num_classes': 3, 'dropout': 0.5}
    recipe = recipe_of({'own': {**cnn, 'copies': 3}}, {'hard': hard('own')})
    images = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    network, key = recipe.network('own'), jax.random.key(1)
    variables = init_variables(network, (images,), key)

    def logits(variables):
        return forward(network, variables, (images,), key, train=True)[0]['logits']

    alone = [
        network.module.apply(jax.tree.map(lambda a, i=i: a[i], variables), images, train=True, rngs={'dropout': own})
        for i, own in enumerate(jax.random.split(key, 3))
    ]
    assert_close(jax.jit(logits)(variables), np.stack([out['logits'] for out in alone]))
    traced = jax.jit(logits).trace(variables)
    convolutions = [
        traced.lower(lowering_platforms=(p,)).as_text().count('stablehlo.convolution') for p in ('tpu', 'cpu')
    ]
    assert convolutions == [1, 3]


def test_each_copy_reads_its_own_copy_of_a_stacked_network():
    made = recipe_of({'body': {**SMALL, 'copies': 2}, 'head': {**SMALL, 'input': 'body.hidden1', 'copies': 2}}, {})
    state, frozen = init_state(made, BATCH, seed=0)
    key = jax.random.key(0)
    variables = all_variables(state, frozen, {})
    context, _ = run_networks(made.networks, variables, {'batch': BATCH}, key, train=False)
    module = made.network('head').module
    for copy in range(2):
        own = jax.tree.map(lambda a, copy=copy: a[copy], variables['head'])
        alone = module.apply(own, context['body']['hidden1'][copy])['logits']
        np.testing.assert_allclose(context['head']['logits'][copy], alone, rtol=1e-6)


class Noisy(nn.Module):
    """Adds noise from a stream of its own, and from that of dropout."""

    @nn.compact
    def __call__(self, x, *, train=False):
        if train:
            return {name: jax.random.normal(self.make_rng(name), x.shape) for name in ('noise', 'dropout')}
        return {'noise': x, 'dropout': x}


def test_a_model_may_draw_from_any_random_stream():
    def drawn(seed):
        return forward(Network('net', Noisy(), ()), {}, [jnp.zeros(50)], jax.random.key(seed), train=True)[0]

    first, again, other = drawn(0), drawn(0), drawn(1)
    np.testing.assert_array_equal(first['noise'], again['noise'])
    assert np.std(first['noise']) > 0.5
    for different in (first['dropout'], other['noise']):
        assert abs(np.corrcoef(first['noise'], different)[0, 1]) < 0.5
