import types

import flax.linen as nn
import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.accumulation import check_accumulation
from kd_jax.core.check_recipe import check_recipe, evaluation_context
from kd_jax.core.forward import run_networks
from kd_jax.core.recipe import recordable
from kd_jax.core.state import all_variables
from kd_jax.core.step import make_train_step
from kd_jax.prepare.check_data import check_mixing
from tests.small_recipes import BATCH, LINEAR, SMALL, TOTAL, assert_close, hard, recipe_of, soft, start, train

OWN = {**SMALL, 'copies': 2, 'own_batches': True}
TEACHER = {**SMALL, 'update': 'frozen'}
# Of the first four examples two are labelled, of the last four one.
PARTS = [{name: array[i : i + 4] for name, array in BATCH.items()} for i in (0, 4)]


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(3, name='head')(nn.BatchNorm(use_running_average=not train, name='norm')(x))


def taken(tree, copy):
    return jax.tree.map(lambda a: a[copy], tree)


def assert_each_copy_learns_as_alone_on_its_part(networks, terms, **optimizer):
    """Trains the copies of every network of `networks` for two steps, together and each by itself."""
    stacked = {name: {**options, 'copies': 2, 'own_batches': True} for name, options in networks.items()}
    together = recipe_of({**stacked, 'teacher': TEACHER}, terms, **optimizer)
    alone = recipe_of({**networks, 'teacher': TEACHER}, terms, **optimizer)
    state, frozen = start(together)
    state = state._replace(collections=jax.tree.map(lambda a: np.ones(a.shape, a.dtype), state.collections))
    states, metrics = train(together, count=2, begin=(state, frozen))
    step, losses = jax.jit(make_train_step(alone, TOTAL)), []
    for copy, batch in enumerate(PARTS):
        own = state._replace(
            **{key: taken(getattr(state, key), copy) for key in ('params', 'collections', 'opt_state')}
        )
        for _ in range(2):
            own, single = step(own, alone.hparams, frozen, batch)
        assert_close(own.params, taken(states[2].params, copy), atol=1e-6)
        assert_close(own.collections, taken(states[2].collections, copy))
        losses.append(single['loss'][0])
    np.testing.assert_allclose(metrics['loss'][0], sum(losses), rtol=1e-5)


def test_losses_of_examples_masked_and_with_a_teacher():
    terms = {
        'hard': hard('student', weight=0.3, mask='batch.labelled'),
        'soft': soft('student', 'teacher.logits', t=3.0),
    }
    assert_each_copy_learns_as_alone_on_its_part({'student': SMALL}, terms, momentum=0.9, clip=0.05)


def test_losses_that_compare_examples_and_a_connector():
    networks = {'student': SMALL, 'connector': {**LINEAR, 'num_classes': 6, 'input': 'student.hidden1'}}
    relation = {'loss': 'rkd_distance', 'student': 'connector.logits', 'target': 'teacher.hidden1'}
    several = {'loss': 'kd', 'student': 'student.logits', 'target': ['teacher.logits', '~student.logits']}
    terms = {
        'relation': relation,
        'some': {**relation, 'mask': 'batch.labelled'},
        'several': several,
        'hard': hard('student'),
    }
    assert_each_copy_learns_as_alone_on_its_part(networks, terms)


def test_batch_statistics_are_those_of_each_part():
    assert_each_copy_learns_as_alone_on_its_part({'student': {'model': Normalised}}, {'hard': hard('student')})


def test_one_network_may_learn_from_what_each_copy_says_of_its_part():
    recipe = recipe_of({'clients': OWN, 'server': LINEAR}, {'soft': soft('server', '~clients.logits')})
    state, _ = start(recipe)
    _, metrics = train(recipe, begin=(state, {}))
    alone = recipe_of({'clients': SMALL, 'server': LINEAR}, {'soft': soft('server', '~clients.logits')})
    step, sums = jax.jit(make_train_step(alone, TOTAL)), []
    for copy, batch in enumerate(PARTS):
        params = {**state.params, 'clients': taken(state.params['clients'], copy)}
        opt_state = {**state.opt_state, 'clients': taken(state.opt_state['clients'], copy)}
        _, single = step(state._replace(params=params, opt_state=opt_state), alone.hparams, {}, batch)
        sums.append(single['soft'][0])
    assert_close(metrics['soft'], (sum(sums), 8.0))


def test_in_evaluation_every_copy_reads_every_example():
    recipe = recipe_of({'a': OWN, 'b': {**OWN, 'input': 'a.hidden1'}}, {'hard': hard('b')})
    context = check_recipe(recipe, BATCH)
    assert context['b']['logits'].shape == (2, 4, 3)
    assert evaluation_context(recipe, context, context['batch'])['b']['logits'].shape == (2, 8, 3)
    state, frozen = start(recipe)
    variables = all_variables(state, frozen, {})
    seen, _ = run_networks(recipe.networks, variables, {'batch': BATCH}, jax.random.key(0), train=False)
    assert seen['b']['logits'].shape == (2, 8, 3)


def test_outputs_of_frozen_copies_with_batches_of_their_own_are_not_recorded():
    networks = {'a': OWN, 'teacher': TEACHER, 'teachers': {**OWN, 'update': 'frozen'}}
    assert {network.name for network in recordable(recipe_of(networks, {'hard': hard('a')}))} == {'teacher'}


@pytest.mark.parametrize(
    ('networks', 'terms', 'message'),
    [
        ({'a': {**OWN, 'copies': 3}}, {}, "'a': its 3 copies with own_batches cannot share a batch_size of 8 .*=6"),
        ({'b': {**LINEAR, 'input': 'a.logits'}}, {}, "'b' reads 'a', whose copies have .*: set copies=2 and own_ba"),
        ({'b': {**OWN, 'own_batches': False}, 'c': {**OWN, 'input': 'b.logits'}}, {}, "'c' reads 'b', whose copies re"),
        ({'b': {**TEACHER, 'copies': 2}}, {'soft': soft('a', 'b.logits')}, "term 'soft' reads 'b', whose copies read"),
        ({'b': {**OWN, 'copies': 4}}, {'soft': soft('a', '~b.logits')}, 'unlike numbers of copies: a 2, b 4'),
        ({'b': LINEAR}, {'soft': soft('a', 'b.logits')}, r"so it cannot teach 'b' too: read it as '~b\.\.\.\.'"),
        (
            {'b': LINEAR},
            {'relation': {'loss': 'rkd_distance', 'student': 'b.logits', 'target': '~a.logits'}},
            "compares the examples of each part alone, so it cannot teach 'b' too",
        ),
        ({'b': {**SMALL, 'own_batches': True}}, {}, "network 'b' has own_batches, so it must have copies"),
        ({'b': {**OWN, 'own_batches': 2}}, {}, "'b'.own_batches is 2, but it must be True or False"),
    ],
)
def test_what_does_not_go_together_is_refused(networks, terms, message):
    with pytest.raises(UserError, match=message):
        check_recipe(recipe_of({'a': OWN, 'teacher': TEACHER, **networks}, {'hard': hard('a'), **terms}), BATCH)


def test_accumulation_and_mixing_are_refused():
    recipe = recipe_of({'a': OWN}, {'hard': hard('a')})
    with pytest.raises(UserError, match=r"network 'a': accumulate=2 cuts .* set own_batches=False or accumulate=1"):
        check_accumulation(recipe, check_recipe(recipe, BATCH), 2, 'here')
    with pytest.raises(UserError, match="network 'a': copies with own_batches cannot learn from mixed images"):
        check_mixing(recipe, types.SimpleNamespace(augment={'mixup': 0.2}), 'here')
