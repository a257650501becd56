import functools

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.batches import training_view
from kd_jax.data.source import Source, Vocabulary
from kd_jax.data.word_masking import (
    WordMasking,
    masked_again,
    masked_for_evaluation,
    masked_words,
    place_masking,
)

MASK, SIZE = 257, 260
HOW = WordMasking(0.15, MASK, SIZE)


def words(rows=400, length=64):
    """Rows of letters whose first and last tokens are special."""
    label = np.random.default_rng(0).integers(97, 123, (rows, length)).astype(np.int32)
    label[:, [0, -1]] = 256
    return {'label': label, 'bytes': (label < 256).astype(np.int32), 'id': np.arange(rows, dtype=np.int32)}


def keys_of(rows):
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(3), np.arange(rows))


def test_of_15_percent_of_the_words_80_are_masked_10_are_random_and_10_stay():
    batch = words()
    found = masked_words(batch['label'], batch['bytes'] > 0, keys_of(400), HOW)
    tokens, chosen = np.asarray(found['tokens']), np.asarray(found['mask'])
    count = 400 * 62
    assert abs(chosen.sum() / count - 0.15) < 4 * np.sqrt(0.15 * 0.85 / count)
    masked, stay = tokens[chosen] == MASK, tokens[chosen] == batch['label'][chosen]
    assert abs(masked.mean() - 0.8 - 0.1 / SIZE) < 4 * np.sqrt(0.16 / chosen.sum())
    assert abs(stay.mean() - 0.1 - 0.1 / SIZE) < 4 * np.sqrt(0.09 / chosen.sum())
    others = tokens[chosen][~masked & ~stay]
    assert others.min() >= 0
    assert len(np.unique(others)) > 100  # of all tokens
    assert others.max() < SIZE


def test_words_that_are_not_chosen_and_special_tokens_stay():
    batch = words()
    found = masked_words(batch['label'], batch['bytes'] > 0, keys_of(400), HOW._replace(share=1.0))
    chosen = np.asarray(found['mask'])
    np.testing.assert_array_equal(chosen, batch['bytes'] > 0)
    np.testing.assert_array_equal(np.asarray(found['tokens'])[~chosen], batch['label'][~chosen])
    none = masked_words(batch['label'], batch['bytes'] > 0, keys_of(400), HOW._replace(share=0.0))
    np.testing.assert_array_equal(none['tokens'], batch['label'])


def test_the_masks_of_an_example_depend_on_its_number_and_the_view_alone():
    batch, key = words(8), jax.random.key(0)
    view = jax.jit(functools.partial(training_view, options={'mask_words': HOW}, num_classes=None))
    whole = view(batch, key, 1)
    part = view({name: array[[5, 2]] for name, array in batch.items()}, key, 1)
    for name in ('tokens', 'mask', 'label'):
        np.testing.assert_array_equal(part[name], np.asarray(whole[name])[[5, 2]])
    for other in (view(batch, key, 2), view(batch, jax.random.key(1), 1)):
        assert (np.asarray(other['mask']) != np.asarray(whole['mask'])).any()


def test_masking_again_begins_from_the_words_themselves():
    batch = words(8)
    once = masked_again(batch, keys_of(8), HOW)
    twice = masked_again(once, keys_of(8), HOW)
    jax.tree.map(np.testing.assert_array_equal, twice, once)


def test_evaluation_always_masks_the_same_words():
    batch, rows = words(8), np.arange(8)
    vocabulary = Vocabulary('bytes', SIZE, MASK, 'masked')
    one, two = (masked_for_evaluation(batch, vocabulary, rows) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, two)
    assert isinstance(one['tokens'], np.ndarray)
    assert 0 < one['mask'].sum() < 120
    part = masked_for_evaluation({name: array[5:7] for name, array in batch.items()}, vocabulary, rows[5:7])
    jax.tree.map(np.testing.assert_array_equal, part, {name: array[5:7] for name, array in one.items()})
    with pytest.raises(UserError, match="tokenizer 'bytes' has no token for masked words"):
        masked_for_evaluation(batch, vocabulary._replace(mask=None), rows)


def test_only_masked_words_are_masked_again():
    masked = Source({}, vocabulary=Vocabulary('bytes', SIZE, MASK, 'masked'))
    assert place_masking({'mask_words': 0.15}, masked, 'c') == {'mask_words': HOW}
    assert place_masking({'crop': 2}, Source({}), 'c') == {'crop': 2}
    for source in (Source({}), Source({}, vocabulary=Vocabulary('bytes', SIZE, MASK))):
        with pytest.raises(
            UserError, match=r'c.mask_words masks other words in each epoch, but the data has no masked'
        ):
            place_masking({'mask_words': 0.15}, source, 'c')
