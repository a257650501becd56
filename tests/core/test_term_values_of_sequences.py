"""Terms over sequences against loops written out by hand: mask on targets, and normalisation over all tokens."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kd_jax.core.accumulation import check_accumulation
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.step import make_train_step
from tests.small_recipes import TOTAL, assert_close, assert_moved, recipe_of, start

VOCABULARY, LENGTH = 5, 6
RNG = np.random.default_rng(0)
# Prompts of 2, 3, 1 and 2 tokens, then completions of 4, 1, 3 and 0; the rest is padding by token 0, which is also the
# end of a text. The first end (a target) has the same number as the padding after it.
TOKENS = np.array([[3, 1, 4, 2, 2, 0], [2, 2, 1, 0, 0, 0], [4, 3, 1, 0, 0, 0], [1, 4, 0, 0, 0, 0]], np.int32)
MASK = np.array([[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)


def batch_of(tokens):
    """The arrays of a text source: labels and their mask at the positions that predict them."""
    label, mask = (np.pad(array[:, 1:], ((0, 0), (0, 1))) for array in (tokens, MASK))
    return {'tokens': tokens, 'label': label, 'mask': mask}


BATCH = batch_of(TOKENS)


class Bigrams(nn.Module):
    """The logits of the next token are a row of a table."""

    @nn.compact
    def __call__(self, tokens, *, train=False):
        logits = nn.Embed(VOCABULARY, VOCABULARY)(tokens)
        return logits


NETWORKS = {
    'student': {'model': Bigrams, 'input': 'batch.tokens'},
    'teacher': {'model': Bigrams, 'input': 'batch.tokens', 'update': 'frozen'},
}
LABELS = {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label', 'mask': 'batch.mask'}
BOTH = {'student': 'student.logits', 'target': 'teacher.logits', 'mask': 'batch.mask'}
TERMS = {
    'labels': LABELS,
    'kd': {'loss': 'kd', **BOTH, 't': 2.0, 'weight': 0.5},
    'reverse': {'loss': 'reverse_kl', **BOTH},
}
RECIPE = recipe_of(NETWORKS, TERMS)


def table(variables):
    return np.asarray(variables['params']['Embed_0']['embedding'], np.float64)


def log_softmax(row):
    return row - np.log(np.sum(np.exp(row)))


def by_hand(student, teacher, rows=range(4)):
    """Sums over the targets that count, each predicted by the position before it; and their number."""
    sums, count = {'labels': 0.0, 'kd': 0.0, 'reverse': 0.0}, 0
    for row in rows:
        for place in range(1, LENGTH):
            if MASK[row, place]:
                before = TOKENS[row, place - 1]
                log_q, log_p = log_softmax(student[before]), log_softmax(teacher[before])
                soft_q, soft_p = log_softmax(student[before] / 2), log_softmax(teacher[before] / 2)
                sums['labels'] -= log_q[TOKENS[row, place]]
                sums['kd'] += 4 * np.sum(np.exp(soft_p) * (soft_p - soft_q))
                sums['reverse'] += np.sum(np.exp(log_q) * (log_q - log_p))
                count += 1
    return sums, count


def stepped(parts=1, batch=BATCH):
    (state, frozen), step = start(RECIPE, batch), jax.jit(make_train_step(RECIPE, TOTAL, parts))
    after, metrics = step(state, RECIPE.hparams, frozen, batch)
    assert_moved(state.params, after.params)
    return after.params, jax.device_get(metrics), {'params': state.params['student']}, frozen['teacher']


def test_values_are_those_of_a_loop_over_the_targets():
    _, metrics, student, teacher = stepped()
    sums, count = by_hand(table(student), table(teacher))
    assert count == 8
    for name, expected in sums.items():
        np.testing.assert_allclose(metrics[name], (expected, count), rtol=1e-5)
    total = (sums['labels'] + 0.5 * sums['kd'] + sums['reverse']) / count
    np.testing.assert_allclose(metrics['loss'][0], total, rtol=1e-5)
    each = [by_hand(table(student), table(teacher), [row])[0]['labels'] for row in range(3)]
    assert abs(np.mean(np.divide(each, [4, 1, 3])) - sums['labels'] / count) > 5e-3  # not the mean over sequences


@pytest.mark.parametrize('parts', [2, 4])
def test_accumulated_parts_of_unlike_lengths_learn_what_the_whole_batch_teaches(parts):
    check_accumulation(RECIPE, check_recipe(RECIPE, BATCH), parts, 'the run')
    (whole, metrics, *_), (got, measured, *_) = stepped(), stepped(parts)
    assert_close(got, whole, rtol=2e-5, atol=1e-6)
    assert_close(measured, metrics, rtol=2e-5)


def test_tokens_behind_the_last_target_and_prompts_before_the_last_of_theirs_change_nothing():
    other = TOKENS.copy()
    other[0, 0], other[1, 4:], other[3] = 0, 3, 4
    assert_close(stepped(batch=batch_of(other))[0], stepped()[0])
