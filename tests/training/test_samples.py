"""Texts that a decoder writes after prompts, and its speed."""

import numpy as np

from kd_jax.data.prompts import prompt_tokens, stop_tokens
from kd_jax.data.tokenizers import bytes_tokenizer
from kd_jax.training.samples import continued
from tests.language.small_decoder import decoder, weights

BYTES = bytes_tokenizer()
SIZES = dict(vocabulary=260, qkv_bias=False, tied=True, window=32)


def counting(following):
    """A decoder that writes `following[token]` after each token: its layers add nothing, its head is a table."""
    module = decoder(**{**SIZES, 'width': 260, 'heads': 2, 'kv_heads': 1, 'tied': False})
    variables = weights(module, sd=0.0)
    variables['params']['blocks'] = {
        name: {key: 0 * array for key, array in own.items()} for name, own in variables['params']['blocks'].items()
    }
    variables['params']['embedding']['embedding'] = np.eye(260, dtype=np.float32)
    head = np.zeros((260, 260), np.float32)
    for token, after in following.items():
        head[after, token] = 1.0
    variables['params']['head'] = head
    return module, variables


def test_each_prompt_is_continued_and_the_token_that_ends_it_is_not_shown():
    module, variables = counting({97: 98, 98: 99, 99: BYTES.end, 120: 121, 121: 120})  # a b c end; x y x y ...
    prompts = [prompt_tokens(text, None, BYTES, 'here') for text in ('a', 'xx')]
    found = continued(module, variables, prompts, BYTES, new_tokens=5, stop=stop_tokens(None, BYTES))
    assert found.texts == ['bc', 'yxyxy']
    assert (found.read, found.wrote) == (3, 3 + 5)  # 'bc' and its end
    assert found.reading > 0
    assert found.writing is None or found.writing > 0


def test_one_token_has_no_speed_of_writing():
    module, variables = counting({})
    assert continued(module, variables, [[1]], BYTES, new_tokens=1, stop=()).writing is None
