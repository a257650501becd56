import json

import flax.linen as nn
import pytest

from kd_jax.config.errors import UserError
from kd_jax.prepare.check_tokens import PADDING
from kd_jax.prepare.prepared_run import prepare_run


class Words(nn.Module):
    """Logits of the next token, from this token alone: [batch, length, size]."""

    size: int

    @nn.compact
    def __call__(self, tokens, *, train=False):
        return {'logits': nn.Embed(self.size, self.size)(tokens)}


@pytest.fixture
def prepared(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(json.dumps({'text': 'abcdefgh'}) + '\n' for _ in range(8)))

    def prepare(size, **network):
        config = {
            'data': {'source': 'text', 'documents': str(path), 'length': 8}, 'batch_size': 2, 'epochs': 1,
            'optimizer': {'learning_rate': 0.1},
            'networks': {'net': {'model': Words, 'size': size, 'input': 'batch.tokens', **network}},
            'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label',
                               'mask': 'batch.mask'}},
        }  # fmt: skip
        return prepare_run(config, 0, 'c')

    return prepare


@pytest.mark.parametrize('size', [260, 260 + PADDING - 1])
def test_a_model_may_have_some_more_tokens_than_its_tokenizer(prepared, size):
    assert prepared(size).context['net']['logits'].shape == (2, 8, size)


@pytest.mark.parametrize('size', [259, 260 + PADDING, 49_152])
@pytest.mark.parametrize('copies', [0, 2])
def test_a_tokenizer_that_is_not_that_of_the_model_is_one_sentence(prepared, size, copies):
    with pytest.raises(
        UserError, match=rf"c, network 'net': it knows {size:,} tokens, but data.tokenizer='bytes' has 260"
    ):
        prepared(size, **({'copies': copies} if copies else {}))
