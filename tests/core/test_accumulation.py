"""Tests of gradient accumulation: parts of a batch train as the whole batch does, or the recipe is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.accumulation import check_accumulation
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.step import make_train_step
from tests.small_recipes import BATCH, LINEAR, SMALL, TOTAL, assert_close, assert_moved, hard, recipe_of, soft, start

TEACHER = {**SMALL, 'update': 'frozen'}


def squared(student, target):
    return jnp.square(student - target)


def trained(recipe, parts, batch=BATCH, count=1):
    (state, frozen), step = start(recipe), jax.jit(make_train_step(recipe, TOTAL, parts))
    before = state
    for _ in range(count):
        state, metrics = step(state, recipe.hparams, frozen, batch)
    assert_moved(before.params, state.params)
    return state._replace(key=0), metrics


def test_parts_of_which_masks_keep_very_different_shares_add_up_to_the_whole_batch():
    # Example i is in part i mod 4. The mask keeps examples 0, 3 and 6, so one part is left without any.
    relation = {'loss': squared, 'student': 'student.hidden1', 'target': 'teacher.hidden1', 'mask': '~teacher.hidden1'}
    terms = {
        'hard': hard('student', weight=0.3, mask='batch.labelled'),
        'soft': soft('student', 'teacher.logits', t=2.0),
        'relation': relation,
    }
    recipe = recipe_of({'student': SMALL, 'teacher': TEACHER}, terms, momentum=0.9, clip=0.1)
    (whole, metrics), (got, measured) = trained(recipe, 1), trained(recipe, 4)
    assert_close(got, whole, rtol=2e-5, atol=1e-6)
    assert_close(measured, metrics, rtol=2e-5)


def test_copies_averages_peers_and_recorded_teachers_learn_from_parts_as_from_the_whole():
    networks = {
        'student': {**SMALL, 'copies': 2},
        'mean': {**SMALL, 'copies': 2, 'update': 'follow', 'rule': 'ema', 'of': 'student', 'decay': 0.5},
        'peer': LINEAR,
        'teacher': {**TEACHER, 'copies': 3},
    }
    terms = {
        'hard': hard('student', mask='batch.labelled'),
        'mean': soft('student', 'mean.logits'),
        'soft': soft('peer', 'teacher.logits', t=2.0),
        'peer': hard('peer'),
    }
    recipe = recipe_of(networks, terms)
    recorded = np.random.default_rng(1).normal(size=(8, 3, 3)).astype(np.float32)
    batch = {**BATCH, 'recorded': {'teacher': {'logits': recorded}}}
    (whole, metrics), (got, measured) = (trained(recipe, parts, batch, count=2) for parts in (1, 2))
    assert_close(got, whole, rtol=1e-4, atol=1e-5)
    assert_close(measured, metrics, rtol=1e-4)


class Noise(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        noise = jax.random.uniform(self.make_rng('dropout'), x.shape[:1])
        return {'noise': noise * self.param('scale', nn.initializers.ones, ())}


def power(x, *, of: int):
    return x**of


def test_each_part_draws_its_own_random_numbers():
    terms = {f'power{of}': {'loss': power, 'x': 'student.noise', 'of': of} for of in (1, 2)}
    batch = {name: array[:2] for name, array in BATCH.items()}
    _, metrics = trained(recipe_of({'student': {'model': Noise}}, terms), 2, batch)
    (total, count), (squares, _) = metrics['power1'], metrics['power2']
    assert count == 2
    assert squares / 2 - (total / 2) ** 2 > 1e-6  # the variance of the two numbers; 0 if they were the same


def test_parts_need_less_memory_and_the_counting_pass_runs_no_network():
    wide = {'model': 'mlp', 'hidden': [64] * 4, 'num_classes': 3}
    recipe = recipe_of({'student': wide}, {'hard': hard('student', mask='batch.labelled')})
    state, frozen = start(recipe)
    batch = {name: np.repeat(array, 256, axis=0) for name, array in BATCH.items()}  # 2048 examples
    made = [
        jax.jit(make_train_step(recipe, TOTAL, parts)).lower(state, recipe.hparams, frozen, batch).compile()
        for parts in (1, 16)
    ]
    whole, part = (compiled.memory_analysis().temp_size_in_bytes for compiled in made)
    assert part < whole / 4
    products = [compiled.as_text().count(' dot(') for compiled in made]
    assert 0 < products[1] <= products[0]


class Statistics(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not train)(x))


class MeanTemperature(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        return {'t': 1.0 + jnp.mean(jnp.square(nn.Dense(1)(x)))}


def mean_error(student, target):
    return jnp.mean(jnp.square(student - target))


@pytest.mark.parametrize(
    ('networks', 'term', 'said'),
    [
        (
            {'student': {'model': Statistics}},
            hard('student'),
            "network 'student': accumulate=4 cuts each batch into 4 parts, but the network computes batch_stats from "
            'whole batches; take a model without them, or set accumulate=1.',
        ),
        (
            {},
            {'loss': 'rkd_distance', 'student': 'student.hidden1', 'target': 'teacher.hidden1'},
            "term 'term': accumulate=4 cuts each batch into 4 parts, but its loss compares the examples of a batch; "
            'take another loss, or set accumulate=1.',
        ),
        (
            {},
            {'loss': mean_error, 'student': 'student.logits', 'target': 'teacher.logits'},
            'its loss does not give a value for each example',
        ),
        (
            {'gate': {**LINEAR, 'num_classes': 3}},
            {'loss': squared, 'student': 'student.logits', 'target': 'teacher.logits', 'mask': 'gate.logits'},
            "a gradient passes through its mask to the count of the whole batch; set mask='~gate.logits'",
        ),
        (
            {'temperature': {'model': MeanTemperature}},
            soft('student', 'teacher.logits', t='temperature.t'),
            "t='temperature.t' is one number for the whole batch",
        ),
    ],
)
def test_what_depends_on_the_whole_batch_is_refused(networks, term, said):
    recipe = recipe_of({'student': SMALL, 'teacher': TEACHER, **networks}, {'term': term})
    with pytest.raises(UserError) as error:
        check_accumulation(recipe, check_recipe(recipe, BATCH), 4, 'the run')
    assert str(error.value).startswith('the run, ')
    assert said in str(error.value)


def test_a_temperature_that_no_example_changes_is_accepted():
    networks = {'student': SMALL, 'teacher': TEACHER, 'temperature': {'model': 'temperature'}}
    recipe = recipe_of(networks, {'soft': soft('student', 'teacher.logits', t='temperature.t')})
    check_accumulation(recipe, check_recipe(recipe, BATCH), 4, 'the run')
    (whole, _), (got, _) = trained(recipe, 1, count=2), trained(recipe, 4, count=2)
    assert_close(got, whole, rtol=1e-4, atol=1e-6)
