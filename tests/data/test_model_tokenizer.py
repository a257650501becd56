"""The tokenizer of a network."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.model_tokenizer import model_tokenizer
from kd_jax.data.tokenizers import load_tokenizer


def test_it_ends_a_text_as_the_data_end_a_document():
    own = load_tokenizer('bytes')
    other = next(text for text, number in own.special.items() if number not in (own.begin, own.end))
    assert model_tokenizer({}, ['batch.tokens']).end == own.end
    assert model_tokenizer({'end': other}, ['batch.tokens']).end == own.special[other] != own.end
    with pytest.raises(UserError, match='nowhere'):
        model_tokenizer({'end': 'nowhere'}, ['batch.tokens'])


def test_a_network_of_the_teachers_tokens_has_the_teachers_tokenizer():
    data = dict(tokenizer='bytes', teacher_tokenizer='words')
    assert model_tokenizer(data, ['batch.teacher_tokens']).name == 'words'
    assert model_tokenizer(data, ['batch.tokens', 'batch.segment']).name == 'bytes'
