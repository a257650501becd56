"""The memory bank of CRD and the stored predictions of PS-KD."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from tests.models.init_and_apply import assert_shapes, made, trained

RNG = np.random.default_rng(0)
VECTOR = RNG.normal(size=(3, 5)).astype(np.float32)
KEY = jax.random.key(0)


def test_shapes_are_those_of_the_docstring_in_training_and_after():
    assert_shapes(models.embedding(dim=6), [RNG.normal(size=(3, 4, 4, 5))], {'embedding': (3, 6)})
    bank = models.memory_bank(dim=6, examples=9, negatives=4)
    assert_shapes(bank, [VECTOR, jnp.arange(3)], {'embedding': (3, 6), 'entry': (3, 6), 'negatives': (3, 4, 6)})


def test_the_bank_moves_the_entries_of_the_examples_seen_and_no_other():
    module, ids = models.memory_bank(dim=4, examples=6, negatives=3, momentum=0.25), jnp.array([4, 1])
    variables, _ = made(module, VECTOR[:2], ids)
    before = np.asarray(variables['bank']['embeddings'])
    np.testing.assert_allclose(np.linalg.norm(before, axis=-1), 1.0, rtol=1e-5)
    out, updated = trained(module, variables, VECTOR[:2], ids)
    expected = before.copy()
    for row, embedding in zip((4, 1), np.asarray(out['embedding']), strict=True):
        moved = 0.25 * before[row] + 0.75 * embedding
        expected[row] = moved / np.linalg.norm(moved)
    np.testing.assert_allclose(updated['bank']['embeddings'], expected, atol=1e-6)
    np.testing.assert_array_equal(out['entry'], before[[4, 1]])


def test_an_example_is_never_its_own_negative_and_all_others_that_were_seen_may_be():
    module, x = models.memory_bank(dim=8, examples=8, negatives=5), RNG.normal(size=(4, 5)).astype(np.float32)
    variables, _ = made(module, x, jnp.arange(4))
    _, seen = trained(module, variables, x, jnp.array([6, 1, 3, 4]))
    _, seen = trained(module, {**variables, **seen}, x, jnp.array([4, 0, 6, 1]))
    variables = {**variables, 'bank': {**seen['bank'], 'embeddings': jnp.eye(8)}}
    drawn = np.zeros((2, 8))
    for seed in range(20):
        drawn += np.asarray(trained(module, variables, x[:2], jnp.array([3, 5]), seed=seed)[0]['negatives']).sum(1)
    np.testing.assert_array_equal(np.flatnonzero(drawn[0]), [0, 1, 4, 5, 6])
    np.testing.assert_array_equal(np.flatnonzero(drawn[1]), [0, 1, 3, 4, 6])


def test_a_bank_smaller_than_its_negatives_is_refused():
    with pytest.raises(UserError, match='a bank of 4 examples cannot give 4 negatives'):
        made(models.memory_bank(examples=4, negatives=4), VECTOR, jnp.arange(3))


def test_an_id_beyond_the_memory_reads_nan_and_not_the_value_of_another_example():
    ids = jnp.array([3, 4, 90])
    bank, recall = models.memory_bank(dim=4, examples=4, negatives=2), models.recall(examples=4)
    entry = trained(bank, made(bank, VECTOR, ids)[0], VECTOR, ids)[0]['entry']
    logits = recall.apply(recall.init(KEY, VECTOR, ids), VECTOR, ids)['logits']
    for found in (entry, logits):
        np.testing.assert_array_equal(np.isnan(found).all(axis=1), [False, True, True])


def test_a_prediction_is_recalled_when_its_example_comes_again():
    recall, ids = models.recall(examples=5), jnp.array([4, 1])
    predicted = RNG.normal(size=(2, 3)).astype(np.float32)
    variables = recall.init(KEY, predicted, ids)
    first, changed = recall.apply(variables, predicted, ids, train=True, mutable=['recall'])
    second, _ = recall.apply(changed, 2 * predicted, jnp.array([1, 0]), train=True, mutable=['recall'])
    np.testing.assert_array_equal(first['logits'], 0.0)
    np.testing.assert_array_equal(second['logits'], [predicted[1], np.zeros(3)])
    np.testing.assert_array_equal(first['known'], [False, False])
    np.testing.assert_array_equal(second['known'], [True, False])
    unchanged, same = recall.apply(changed, 2 * predicted, ids, train=False, mutable=['recall'])
    np.testing.assert_array_equal(unchanged['logits'], predicted)
    np.testing.assert_array_equal(same['recall']['logits'], changed['recall']['logits'])
