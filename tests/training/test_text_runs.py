"""A run that trains on text, stopped and resumed."""

import json
import os
import signal

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.training.stop_signals import Preempted
from tests.finished_runs import final_state, without_seconds
from tests.train_one import silent, train_run

pytestmark = [
    pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning'),
    pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning'),
]


class Words(nn.Module):
    """Predicts each word from the word that is read there and its neighbours: logits [batch, length, 260]."""

    @nn.compact
    def __call__(self, tokens, *, train=False):
        seen = nn.Embed(260, 8)(tokens)
        around = jnp.roll(seen, 1, axis=1) + jnp.roll(seen, -1, axis=1)
        return {'logits': nn.Dense(260)(seen + around / 2)}


@pytest.fixture
def prepared(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(json.dumps({'text': 'abcdefgh' * 6}) + '\n' for _ in range(8)))

    def prepare(**data):
        both = {'logits': 'student.logits'}
        config = {
            'data': {'source': 'text', 'documents': str(path), 'length': 16, 'valid_documents': 2, **data},
            'batch_size': 4, 'epochs': 2, 'eval_every': 1, 'optimizer': {'learning_rate': 0.1},
            'networks': {'student': {'model': Words, 'input': 'batch.tokens'}},
            'terms': {'words': {'loss': 'cross_entropy', **both, 'labels': 'batch.label', 'mask': 'batch.mask'}},
            'evaluate': {'student': {'metrics': 'sequences', **both, 'bytes': 'batch.bytes'}},
        }  # fmt: skip
        return prepare_run(config, 0, "run 'text'")

    return prepare


def test_a_stopped_run_ends_bit_for_bit_like_an_uninterrupted_one(prepared, tmp_path, assert_bitwise):
    data = {'predicts': 'masked', 'augment': {'mask_words': 0.3}}  # other words in each epoch

    def ask_to_stop(done, *_):
        if done == run.eval_steps:  # the first of two evaluations
            os.kill(os.getpid(), signal.SIGTERM)

    run = prepared(**data)
    assert run.eval_steps < run.total_steps
    whole = train_run(run, tmp_path / 'whole', {}, silent)
    with pytest.raises(Preempted, match='stopped at step'):
        train_run(run, tmp_path / 'stopped', {}, ask_to_stop)
    resumed = train_run(prepared(**data), tmp_path / 'stopped', {}, silent)
    assert_bitwise(final_state(tmp_path / 'stopped'), final_state(tmp_path / 'whole'))
    assert without_seconds(resumed['history']) == without_seconds(whole['history'])
    # The text repeats itself, so its neighbours tell a masked word; guessing costs log2(260) = 8.02 bits.
    valid = whole['last']['valid']['student']
    assert valid['bits_per_byte'] < 8.02
    assert valid['nll'] == pytest.approx(np.log(valid['perplexity']))
