"""Values of terms: what they read, how masks act, and which shapes are refused."""

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.initial_state import init_state
from kd_jax.core.paths import Path
from kd_jax.core.step import make_train_step
from kd_jax.core.term_values import loss_values, sum_and_count
from tests.small_recipes import BATCH, SMALL, TOTAL, assert_close, hard, recipe_of, soft, start, train


def test_a_masked_term_learns_what_it_would_from_the_examples_alone():
    few = {name: array[BATCH['labelled']] for name, array in BATCH.items()}
    (_, masked), metrics = train(recipe_of({'a': SMALL}, {'hard': hard('a', mask='batch.labelled')}))
    (_, sliced), expected = train(recipe_of({'a': SMALL}, {'hard': hard('a')}), batch=few)
    assert_close(masked.params, sliced.params)
    assert_close(metrics, expected)
    assert metrics['hard'][1] == 3


def test_a_mask_of_floats_holds_weights_and_one_of_integers_says_what_counts():
    terms = {'hard': hard('a', mask='batch.segment')}
    numbers = np.array([0, 1, 2, 3, 0, 1, 1, 4])
    found = []
    for mask in (numbers, numbers > 0, numbers.astype(np.float32)):
        recipe = recipe_of({'a': SMALL}, terms)
        found.append(train(recipe, batch={**BATCH, 'segment': mask})[1]['hard'])
    assert_close(found[0], found[1])
    assert [count for _, count in found] == [6, 6, 12]


def test_a_weight_below_zero_counts_nothing_in_the_sum_and_in_the_count():
    recipe = recipe_of({'a': SMALL}, {'hard': hard('a', mask='batch.weight')})
    values = np.array([1.0, 2.0, 3.0, np.nan], np.float32)

    def found(*weights):
        context = {'a': {}, 'batch': {'weight': np.array(weights, np.float32)}}
        return sum_and_count(recipe.terms[0], recipe, context, values)

    assert found(1.0, 1.0, -1.0, -2.0) == (3.0, 2.0)
    assert found(0.5, 1.0, 2.0, -0.5) == (8.5, 3.5)
    assert np.isnan(found(1.0, 1.0, np.nan, 0.0)).all()


@pytest.mark.parametrize('copies', [0, 2])
@pytest.mark.parametrize('loss', ['reverse_kl', 'kd'])
def test_what_a_mask_leaves_out_may_be_infinite(loss, copies):
    """The target rules a class out, so the divergence from it is infinite, or it rules out all classes: NaN."""
    net = {**SMALL, 'copies': copies} if copies else SMALL
    term = {'loss': loss, 'student': 'a.logits', 'target': 'batch.theirs', 'mask': 'batch.labelled'}
    ends, classes = [], np.arange(SMALL['num_classes'])
    for ruled_out in (classes < 0, classes == 1, classes >= 0):
        theirs = np.where(~BATCH['labelled'][:, None] & ruled_out, -np.inf, 0.5 * classes).astype(np.float32)
        (_, after), metrics = train(recipe_of({'a': net}, {'soft': term}), batch={**BATCH, 'theirs': theirs})
        ends.append((after.params, metrics['soft']))
    assert np.isfinite(ends[0][1][0])
    for end in ends[1:]:
        assert_close(end, ends[0])


def test_a_batch_without_an_example_for_a_term_teaches_nothing():
    none = {**BATCH, 'labelled': np.zeros(8, bool)}
    (before, after), metrics = train(recipe_of({'a': SMALL}, {'hard': hard('a', mask='batch.labelled')}), batch=none)
    assert_close(before.params, after.params)
    assert metrics['hard'] == (0.0, 0.0)
    assert metrics['loss'][0] == 0.0


def test_metrics_add_up_over_the_parts_of_a_batch():
    recipe = recipe_of({'a': SMALL}, {'all': hard('a'), 'some': hard('a', mask='batch.labelled')})
    state, frozen = start(recipe)
    step = jax.jit(make_train_step(recipe, TOTAL))
    whole, first, second = (
        step(state, recipe.hparams, frozen, {name: array[part] for name, array in BATCH.items()})[1]
        for part in (slice(None), slice(0, 4), slice(4, 8))
    )
    for term, count in (('all', 8), ('some', 3)):
        assert_close(whole[term], jax.tree.map(lambda a, b: a + b, first[term], second[term]))
        assert whole[term][1] == count


TEMPERATURE = {'model': 'temperature', 'least': 1.0, 'span': 4.0, 'input': 'teacher.logits'}
TEACHER = {**SMALL, 'update': 'frozen'}


def test_a_number_that_a_network_gives_is_that_number():
    networks = {'a': SMALL, 'teacher': TEACHER, 'hot': {**TEMPERATURE, 'update': 'frozen'}}
    given = {'soft': soft('a', 'teacher.logits', t='hot.t', weight='hot.t')}
    (before, after), metrics = train(recipe_of(networks, given))
    t = 1.0 + 4.0 / (1.0 + np.exp(-np.float64(start(recipe_of(networks, given))[1]['hot']['params']['a'])))
    constant = {'soft': soft('a', 'teacher.logits', t=t, weight=t)}
    (_, alike), expected = train(recipe_of({'a': SMALL, 'teacher': TEACHER}, constant))
    assert_close(after.params['a'], alike.params['a'])
    assert_close(metrics, expected)
    assert not np.allclose(after.params['a']['head']['kernel'], before.params['a']['head']['kernel'])


def test_a_term_of_negative_weight_plays_against_the_student():
    """Li et al. (2023): the student minimises the loss and the temperature maximises it; by finite differences."""
    networks = {'a': SMALL, 'teacher': TEACHER, 'hot': TEMPERATURE}
    term = soft('a', 'teacher.logits', t='~hot.t')
    harder = {**term, 'student': '~a.logits', 't': 'hot.t', 'weight': -0.5}
    recipe = recipe_of(networks, {'soft': term, 'harder': harder}, name='sgd')
    (before, after), _ = train(recipe)
    (_, alone), _ = train(recipe_of(networks, {'soft': term}, name='sgd'))
    assert_close(after.params['a'], alone.params['a'])
    assert_close(alone.params['hot'], before.params['hot'])

    def loss(a):
        params = {**before.params, 'hot': {'a': a}}
        return train(recipe_of(networks, {'soft': term}), begin=(before._replace(params=params), frozen))[1]['soft'][0]

    frozen, a, size = start(recipe)[1], before.params['hot']['a'], np.float32(1e-2)
    slope = (loss(a + size) - loss(a - size)) / (2 * size) / len(BATCH['label'])
    np.testing.assert_allclose(after.params['hot']['a'] - a, 0.5 * 0.5 * slope, rtol=1e-2)
    assert abs(slope) > 1e-3


def mean_over_copies(logits):
    return jnp.mean(logits, axis=(0, -1))


@pytest.mark.parametrize(
    ('networks', 'term', 'parts'),
    [
        (
            {'a': SMALL},
            {'hard': hard('a', logits='a.logit')},
            [
                "the recipe, term 'hard' reads 'a.logit', which does not exist. Did you mean 'a.logits'?",
                'Known: a.hidden1, a.logits, batch.image, batch.label, batch.labelled.',
            ],
        ),
        (
            {'a': {**SMALL, 'input': 'batch.imag'}},
            {},
            ["network 'a' reads 'batch.imag'", "mean 'batch.image'"],
        ),
        (
            {'a': SMALL},
            {'hard': hard('a', mask='batch.labeled')},
            ["'batch.labeled'", "mean 'batch.labelled'"],
        ),
        (
            {'a': SMALL, 'b': {**SMALL, 'num_classes': 4}},
            {'soft': soft('a', 'b.logits')},
            ["term 'soft' does not fit a.logits [8, 3], b.logits [8, 4]", 'has 3 classes and the teacher 4'],
        ),
        (
            {'a': SMALL, 'b': SMALL},
            {'soft': soft('a', 'b.logits', t='a.logits')},
            ["term 'soft' does not fit", "'a.logits' has shape [8, 3], but t must be one number"],
        ),
        (
            {'a': SMALL, 'b': SMALL},
            {'soft': soft('a', 'b.logits', weight='b.weight')},
            ["term 'soft' reads 'b.weight', which does not exist"],
        ),
        (
            {'a': {**SMALL, 'copies': 2}},
            {'mean': {'loss': mean_over_copies, 'logits': 'a.logits'}},
            ["term 'mean' gives (8,), but for 2 copies it must give [2, ...]"],
        ),
        (
            {'a': {**SMALL, 'normalize': {'mean': (0.5,) * 3, 'std': (0.5,) * 3}}},
            {},
            ["network 'a' does not take batch.image [8, 5]: normalize has 3 means, but the input has 5 channels"],
        ),
        (
            {'a': {**SMALL, 'input': 'batch.label', 'normalize': {'mean': 0.5, 'std': 0.5}}},
            {},
            ['normalize needs floats, but the input has type int32; only batch.image of type uint8 is scaled'],
        ),
        ({'a': {'model': 'cnn', 'num_classes': 3}}, {}, ["network 'a' does not take batch.image [8, 5]"]),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_before_training(networks, term, parts):
    with pytest.raises(UserError) as error:
        check_recipe(recipe_of(networks, term), BATCH)
    for part in parts:
        assert part in str(error.value)


def spread(hidden, *, where=None):
    counts = jnp.ones(len(hidden)) if where is None else where * 1.0
    mean = counts @ hidden / jnp.sum(counts)
    return jnp.sum(counts[:, None] * (hidden - mean) ** 2) / jnp.sum(counts)


def test_a_masked_loss_between_examples_learns_what_it_would_from_the_examples_alone():
    relation = {'loss': spread, 'hidden': 'a.hidden1'}
    kept = np.asarray(BATCH['labelled']) > 0
    sliced = jax.tree.map(lambda array: array[kept], BATCH)
    begin = init_state(recipe_of({'a': SMALL}, {'all': relation}), sliced, seed=0)
    (_, alone), few = train(recipe_of({'a': SMALL}, {'all': relation}), begin=begin, batch=sliced)
    (_, masked), many = train(recipe_of({'a': SMALL}, {'all': {**relation, 'mask': 'batch.labelled'}}), begin=begin)
    assert_close(masked.params, alone.params)
    summed, count = many['all']
    np.testing.assert_allclose(count, kept.sum())
    np.testing.assert_allclose(summed / count, few['all'][0], rtol=1e-5)


def test_copies_learn_from_a_loss_between_examples_each_for_itself():
    relation = {'loss': spread, 'hidden': 'a.hidden1', 'mask': 'batch.labelled'}
    stacked = recipe_of({'a': {**SMALL, 'copies': 2}}, {'all': relation})
    state, frozen = init_state(stacked, BATCH, seed=0)
    (_, together), _ = train(stacked, begin=(state, frozen))
    for copy in range(2):
        own = state._replace(params=jax.tree.map(lambda a, copy=copy: a[copy], state.params))
        fresh, _ = init_state(recipe_of({'a': SMALL}, {'all': relation}), BATCH, seed=0)
        begin = (fresh._replace(params=own.params), frozen)
        (_, alone), _ = train(recipe_of({'a': SMALL}, {'all': relation}), begin=begin)
        assert_close(jax.tree.map(lambda a, copy=copy: a[copy], together.params), alone.params, atol=1e-5)


class Chooses(nn.Module):
    """A linear network that says of which examples it is sure."""

    num_classes: int

    @nn.compact
    def __call__(self, image, *, train=False):
        logits = nn.Dense(self.num_classes, name='head')(image)
        return {'logits': logits, 'sure': (jax.nn.softmax(logits).max(-1) > 0.85).astype(jnp.float32)}


def test_copies_with_masks_of_their_own_learn_each_for_itself():
    term, network = {'kept': hard('a', mask='~a.sure')}, {'model': Chooses, 'num_classes': 3}
    stacked = recipe_of({'a': {**network, 'copies': 2}}, term)
    (state, together), both = train(stacked)
    counts, sums = [], []
    for copy in range(2):
        one = recipe_of({'a': network}, term)
        fresh, frozen = start(one)
        fresh = fresh._replace(params=jax.tree.map(lambda a, copy=copy: a[copy], state.params))
        (_, alone), metrics = train(one, begin=(fresh, frozen))
        assert_close(jax.tree.map(lambda a, copy=copy: a[copy], together.params), alone.params, atol=1e-6)
        sums.append(metrics['kept'][0] / metrics['kept'][1])
        counts.append(metrics['kept'][1])
    assert counts[0] != counts[1]
    assert both['kept'][0] / both['kept'][1] == pytest.approx(np.mean(sums), rel=1e-5)


def test_a_mask_of_examples_holds_for_every_position_of_their_maps():
    network, term = Path('a', 'x'), recipe_of({'a': SMALL}, {'m': {**hard('a'), 'mask': 'batch.labelled'}})
    context = {'batch': {'labelled': jnp.array([1.0, 0.0])}, network.source: {}}
    array = jnp.arange(8.0).reshape(2, 2, 2)
    summed, count = sum_and_count(term.terms[0], term, context, array)
    assert (float(summed), float(count)) == (0.0 + 1.0 + 2.0 + 3.0, 4.0)


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        (lambda logits: jnp.mean(logits), 'must take `where`'),
        (lambda logits: jnp.mean(logits, axis=0), r"mask's shape \[8\] does not fit the values' shape \[3\]"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_before_training(loss, message):
    loss.__name__ = 'mine'
    with pytest.raises(UserError, match=message):
        check_recipe(
            recipe_of({'a': SMALL}, {'m': {'loss': loss, 'logits': 'a.logits', 'mask': 'batch.labelled'}}), BATCH
        )


@pytest.mark.parametrize('copies', [2, 3])
@pytest.mark.parametrize('loss', ['kd', 'confident_kd'])
def test_copies_learn_from_the_average_of_several_teachers_and_not_from_one_each(loss, copies):
    """Each copy has the loss that it would have alone, also if there are as many teachers as copies."""
    options = {'labels': 'batch.label'} if loss == 'confident_kd' else {}
    term = {'loss': loss, 'student': 'a.logits', 'target': ['batch.one', 'batch.other'], 't': 2.0, **options}
    one, other, *own = jax.random.normal(jax.random.key(0), (2 + copies, 8, SMALL['num_classes']))
    batch = {'one': one, 'other': other, 'label': jnp.asarray(BATCH['label'])}

    def values(logits, **net):
        recipe = recipe_of({'a': {**SMALL, **net}}, {'soft': term})
        return loss_values(recipe.terms[0], recipe, {'batch': batch, 'a': {'logits': logits}}, {'t': 2.0})

    together = values(jnp.stack(own), copies=copies)
    assert together.shape == (copies, 8)
    for copy in range(copies):
        np.testing.assert_allclose(together[copy], values(own[copy]), rtol=1e-5)
