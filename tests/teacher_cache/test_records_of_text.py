"""The record of a teacher that reads text holds what it says of the words that training masks in each view."""

import json

import flax.linen as nn
import jax
import numpy as np

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.data.batches import fetch_batch
from kd_jax.prepare.prepared_run import prepare_run
from tests.small_caches import replay, started


class Words(nn.Module):
    @nn.compact
    def __call__(self, tokens, *, train=False):
        return {'logits': nn.Dense(260)(nn.Embed(260, 4)(tokens))}


def test_each_view_of_masked_words_is_recorded_as_training_masks_it_and_replayed_later(tmp_path, caplog):
    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(json.dumps({'text': 'abcdefgh'}) + '\n' for _ in range(8)))
    network = {'model': Words, 'input': 'batch.tokens'}
    both = {'student': 'student.logits', 'target': 'teacher.logits', 'mask': 'batch.mask'}
    config = {
        'data': {'source': 'text', 'documents': str(path), 'length': 12, 'predicts': 'masked',
                 'augment': {'mask_words': 0.5}, 'views': 2},
        'batch_size': 4, 'epochs': 2, 'optimizer': {'learning_rate': 0.1}, 'cache': True,
        'networks': {'student': network, 'teacher': {**network, 'update': 'frozen', 'init': 'run:teacher'}},
        'terms': {'soft': {'loss': 'kd', **both}},
        'evaluate': {'student': {'metrics': 'sequences', 'logits': 'student.logits'}},
    }  # fmt: skip
    prepared = prepare_run(config, 0, "run 'student'")
    found = np.asarray(replay(prepared, tmp_path)[RECORDED]['teacher']['logits'])
    assert found.shape == (2, 8, 12, 260)
    frozen, key = started(prepared)
    batch = fetch_batch(prepared.splits.arrays['train'], np.arange(4))
    apply = jax.jit(lambda tokens: prepared.recipe.network('teacher').module.apply(frozen['teacher'], tokens)['logits'])
    for view in (0, 1):
        seen = prepared.view(batch, key, np.int32(view))
        np.testing.assert_allclose(found[view, :4], apply(seen['tokens']), rtol=1e-5, atol=1e-6)
    assert (found[0] != found[1]).any()
    caplog.clear()
    with caplog.at_level('INFO'):
        again = replay(prepare_run(config, 0, "run 'student'"), tmp_path)[RECORDED]['teacher']['logits']
    np.testing.assert_array_equal(again, found)
    assert 'record' not in caplog.text
