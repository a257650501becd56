"""The training step: gradients, copies, schedules, dropout, batch statistics and precision."""

import flax.linen as nn
import jax
import jax.extend
import numpy as np
from scipy.special import log_softmax, softmax

from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.small_recipes import (
    BATCH,
    LINEAR,
    SMALL,
    TOTAL,
    assert_close,
    assert_moved,
    hard,
    head,
    recipe_of,
    soft,
    start,
    train,
)


def test_networks_that_teach_each_other_get_the_gradients_of_their_own_losses():
    networks = {'a': LINEAR, 'b': LINEAR}
    terms = {
        'hard_a': hard('a', weight=0.25),
        'hard_b': hard('b', weight=0.25),
        'soft_a': soft('a', '~b.logits', t=2.0),
        'soft_b': soft('b', '~a.logits', t=2.0),
    }
    (before, after), metrics = train(recipe_of(networks, terms))
    logits = {n: BATCH['image'] @ head(before.params[n])[0] + head(before.params[n])[1] for n in networks}
    for own, peer in (('a', 'b'), ('b', 'a')):
        # By hand: w (softmax - one hot) + T (q - p), divided by the batch size of 8.
        to_labels = softmax(logits[own], axis=-1) - np.eye(3)[BATCH['label']]
        to_peer = softmax(logits[own] / 2, axis=-1) - softmax(logits[peer] / 2, axis=-1)
        error = (0.25 * to_labels + 2.0 * to_peer) / 8
        kernel, bias = head(before.params[own])
        assert_close(after.params[own]['head']['kernel'], kernel - 0.5 * BATCH['image'].T @ error)
        assert_close(after.params[own]['head']['bias'], bias - 0.5 * error.sum(0))
        nll = -log_softmax(logits[own], axis=-1)[np.arange(8), BATCH['label']]
        assert_close(metrics[f'hard_{own}'], (nll.sum(), 8.0))
    whole = sum(w * metrics[n][0] / 8 for n, w in zip(terms, (0.25, 0.25, 1, 1), strict=True))
    assert_close(metrics['loss'], (whole, 1.0))


def test_without_the_stop_the_peer_is_taught_too():
    for target, moves in (('~b.logits', False), ('b.logits', True)):
        recipe = recipe_of({'a': LINEAR, 'b': LINEAR}, {'soft': soft('a', target)})
        (before, after), _ = train(recipe)
        assert_moved(before.params['a'], after.params['a'])
        assert np.any(before.params['b']['head']['kernel'] != after.params['b']['head']['kernel']) == moves


def test_a_frozen_network_passes_gradients_on_and_is_no_part_of_the_state():
    for path, moves in (('body.hidden1', True), ('~body.hidden1', False)):
        networks = {'body': SMALL, 'judge': {**LINEAR, 'input': path, 'update': 'frozen'}}
        (before, after), _ = train(recipe_of(networks, {'hard': hard('judge')}))
        assert set(after.params) == set(after.opt_state) == {'body'}
        moved = np.any(before.params['body']['dense1']['kernel'] != after.params['body']['dense1']['kernel'])
        assert moved == moves


def test_an_averaged_network_follows_the_closed_form():
    networks = {
        'student': SMALL,
        'mean': {**SMALL, 'update': 'follow', 'rule': 'ema', 'of': 'student', 'decay': 0.8, 'warmup': False},
    }
    terms = {'hard': hard('student'), 'soft': soft('student', 'mean.logits')}
    recipe = recipe_of(networks, terms)
    states, _ = train(recipe, count=3, begin=init_state(recipe, BATCH, seed=0))
    p0, p1, p2, p3 = (jax.device_get(state.params['student']) for state in states)
    assert_close(states[0].params['mean'], p0)
    # 0.8^3 p0 + 0.2 (0.64 p1 + 0.8 p2 + p3)
    mean = jax.tree.map(lambda a, b, c, d: 0.512 * a + 0.2 * (0.64 * b + 0.8 * c + d), p0, p1, p2, p3)
    assert_close(states[3].params['mean'], mean, atol=1e-6)


def test_each_stacked_copy_learns_exactly_as_it_would_alone():
    terms = {
        'hard': hard('student', weight=0.3, mask='batch.labelled'),
        'soft': soft('student', 'teacher.logits', t=3.0),
    }
    teacher = {**SMALL, 'update': 'frozen'}
    optimizer = {'name': 'adam', 'learning_rate': 0.05, 'clip': 0.01, 'max_norm': 2.0}
    stack = recipe_of({'student': {**SMALL, 'copies': 3}, 'teacher': teacher}, terms, **optimizer)
    alone = recipe_of({'student': SMALL, 'teacher': teacher}, terms, **optimizer)
    state, frozen = start(stack)
    states, metrics = train(stack, count=3, begin=(state, frozen))
    step, sums = jax.jit(make_train_step(alone, TOTAL)), {'hard': 0.0, 'soft': 0.0}
    for copy in range(3):
        own = state._replace(
            params=jax.tree.map(lambda a, i=copy: a[i], state.params),
            opt_state=jax.tree.map(lambda a, i=copy: a[i], state.opt_state),
        )
        for _ in range(3):
            own, single = step(own, alone.hparams, frozen, BATCH)
        assert_close(own.params, jax.tree.map(lambda a, i=copy: a[i], states[3].params))
        sums = {name: sums[name] + single[name][0] for name in sums}
    assert_close({name: metrics[name] for name in sums}, {'hard': (sums['hard'], 9.0), 'soft': (sums['soft'], 24.0)})


def test_each_layer_of_a_decoder_has_norms_of_its_own():
    decoder = {'model': 'decoder', 'vocabulary': 8, 'width': 4, 'layers': 2, 'heads': 1, 'mlp_width': 6}
    networks = {'a': {**decoder, 'input': 'batch.tokens'}}
    recipe = recipe_of(networks, {'hard': hard('a')}, name='lamb', learning_rate=0.0, max_norm=1.5)
    tokens = np.arange(10, dtype=np.int32).reshape(2, 5) % 8
    states, _ = train(recipe, batch={'tokens': tokens, 'label': tokens})
    before, after = (np.asarray(state.params['a']['blocks']['up']['kernel']) for state in states)
    for layer in range(2):
        norms = np.linalg.norm(before[layer], axis=0)
        assert norms.max() > 1.5 > norms.min()
        np.testing.assert_allclose(after[layer], before[layer] * np.minimum(1.0, 1.5 / norms), rtol=1e-5)


def test_an_ensemble_of_teachers_weighs_as_much_as_one():
    terms = {'soft': soft('student', 'teacher.logits', t=2.0)}
    one, many = (
        recipe_of({'student': SMALL, 'teacher': {**SMALL, 'update': 'frozen', 'copies': n}}, terms) for n in (0, 4)
    )
    state, frozen = start(one)
    repeated = jax.tree.map(lambda a: np.stack([a] * 4), frozen)
    (_, single), _ = train(one, begin=(state, frozen))
    (_, ensemble), _ = train(many, begin=(state, repeated))
    assert_close(single.params, ensemble.params, atol=1e-6)


def test_numbers_change_without_compiling_anew():
    recipe = recipe_of({'a': LINEAR, 'b': {**LINEAR, 'update': 'frozen'}}, {'soft': soft('a', 'b.logits', t=2.0)})
    state, frozen = start(recipe)
    train_step, traces = make_train_step(recipe, TOTAL), []

    @jax.jit
    def step(*arguments):
        traces.append(1)
        return train_step(*arguments)

    def kernel(rate, weight):
        numbers = {
            'optimizers': {'a': {'learning_rate': rate}},
            'terms': {'soft': {'t': 2.0, 'weight': weight}},
        }
        return step(state, {**recipe.hparams, **numbers}, frozen, BATCH)[0].params['a']['head']['kernel']

    before = state.params['a']['head']['kernel']
    once = kernel(0.5, 1.0) - before
    assert_close(kernel(1.0, 1.0) - before, 2 * once, atol=1e-6)
    assert_close(kernel(0.5, 3.0) - before, 3 * once, atol=1e-6)
    assert len(traces) == 1


def test_schedules_see_the_share_of_the_run_that_is_done():
    weight = {'schedule': 'linear', 'start': 0.0, 'end': 1.0}
    states, metrics = train(recipe_of({'a': LINEAR}, {'hard': hard('a', weight=weight)}), count=4)
    assert_close(states[0].params, states[1].params)
    # The fourth step begins when 3 of the 10 steps are done.
    assert_close(metrics['loss'][0], 0.3 * metrics['hard'][0] / 8)
    assert int(states[4].step) == 4


def test_dropout_comes_from_names_not_from_positions():
    noisy = {**SMALL, 'hidden': [40], 'dropout': 0.5}
    one = recipe_of({'student': noisy}, {'hard': hard('student')})
    two = recipe_of({'another': noisy, 'student': noisy}, {'more': hard('another'), 'hard': hard('student')})
    (state, after), _ = train(one)
    assert_close(after.params['student'], train(two)[0][1].params['student'], rtol=1e-6)
    # With the same parameters, another step drops other units.
    later, _ = train(one, begin=(state._replace(step=np.int32(1)), {}))
    assert_moved(after.params['student']['dense1']['kernel'], later[1].params['student']['dense1']['kernel'])


def test_two_networks_and_two_copies_drop_units_of_their_own():
    noisy = {**SMALL, 'hidden': [40], 'dropout': 0.5}
    recipe = recipe_of({'a': {**noisy, 'copies': 2}, 'b': {**noisy, 'copies': 2}}, {'a': hard('a'), 'b': hard('b')})
    state, _ = start(recipe)
    same = jax.tree.map(lambda a: np.stack([a[0], a[0]]), state.params['a'])
    (_, after), _ = train(recipe, begin=(state._replace(params={'a': same, 'b': same}), {}))
    kernels = [copy for name in 'ab' for copy in after.params[name]['dense1']['kernel']]
    for other in kernels[1:]:
        assert_moved(kernels[0], other)


class Normalised(nn.Module):
    """A linear classifier of normalised inputs."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(3)(x)


def test_batch_statistics_are_written_back_and_averaged():
    networks = {
        'student': {'model': Normalised},
        'mean': {'model': Normalised, 'update': 'follow', 'rule': 'ema', 'of': 'student', 'decay': 0.5},
    }
    recipe = recipe_of(networks, {'hard': hard('student')})
    (_, state), _ = train(recipe, begin=init_state(recipe, BATCH, seed=0))
    expected = {'mean': 0.1 * BATCH['image'].mean(0), 'var': 0.9 + 0.1 * BATCH['image'].var(0)}
    assert_close(state.collections['student']['batch_stats']['BatchNorm_0'], expected, atol=1e-6)
    half = {'mean': expected['mean'] / 2, 'var': (1 + expected['var']) / 2}
    assert_close(state.collections['mean']['batch_stats']['BatchNorm_0'], half, atol=1e-6)


def dot_dtypes(jaxpr):
    """Returns the dtypes of the operands of every matrix product in a jaxpr and in its inner jaxprs."""
    found = set()
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'dot_general':
            found |= {str(operand.aval.dtype) for operand in equation.invars}
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            found |= dot_dtypes(inner)
    return found


def test_in_bfloat16_only_networks_compute_and_everything_kept_is_float32():
    networks = {'student': {'model': Normalised}, 'teacher': {**SMALL, 'copies': 2, 'update': 'frozen'}}
    terms = {'hard': hard('student'), 'soft': soft('student', 'teacher.logits', t=2.0)}
    config = {'networks': networks, 'terms': terms, 'optimizer': {'learning_rate': 1.0}}
    full, low = parse_recipe(config), parse_recipe({**config, 'compute_dtype': 'bfloat16'})
    state, frozen = init_state(full, BATCH, seed=0)
    step = make_train_step(low, TOTAL)
    assert dot_dtypes(jax.make_jaxpr(step)(state, low.hparams, frozen, BATCH).jaxpr) == {'bfloat16'}
    (_, wanted), expected = train(full, begin=(state, frozen))
    (_, got), metrics = train(low, begin=(state, frozen))
    assert {a.dtype.name for a in jax.tree.leaves((got.params, got.collections, metrics))} == {'float32'}
    # A bfloat16 has 8 significant bits, so errors are near 2^-8. With learning rate 1 the change is the gradient.
    gradient, rounded = (
        np.concatenate([np.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (s.params, state.params)), strict=True)])
        for s in (wanted, got)
    )
    assert 0 < np.linalg.norm(rounded - gradient) < 0.02 * np.linalg.norm(gradient)
    for name in terms:
        np.testing.assert_allclose(metrics[name][0], expected[name][0], rtol=0.02)
    assert_close(got.collections, wanted.collections, rtol=0.01, atol=1e-3)
