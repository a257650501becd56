"""Prompts as tokens."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.prompts import prompt_tokens, stop_tokens
from kd_jax.data.tokenizers import bytes_tokenizer

BYTES = bytes_tokenizer()


def test_a_message_stands_in_its_template():
    # <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n
    start, end = BYTES.special['<|im_start|>'], BYTES.special['<|im_end|>']
    asked = [start, *b'user\nHi', end, *b'\n', start, *b'assistant\n']
    assert prompt_tokens('Hi', 'chatml', BYTES, 'here') == asked
    assert stop_tokens('chatml', BYTES) == (BYTES.end, end)
    with pytest.raises(UserError, match='here is empty'):
        prompt_tokens(' ', None, BYTES, 'here')
