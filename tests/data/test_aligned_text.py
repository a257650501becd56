import json

import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.data.aligned_text import aligned_rows, common_places
from kd_jax.data.documents import Document
from kd_jax.data.splits import load_splits
from kd_jax.data.token_rows import TextLayout
from kd_jax.data.tokenizers import Encoded, Tokenizer, bytes_tokenizer
from kd_jax.models import first_bytes

WORDS = ('a', 'b', 'ab')  # tokens 0 to 2; 3 begins a text and 4 ends it


def longest_match(name='pairs', begin=3, end=4, change=lambda text: text):
    """A tokenizer of the letters a and b, which makes one token of 'ab'."""

    def encode(text):
        ids, text = [], change(text)
        while text:
            word = max((word for word in WORDS if text.startswith(word)), key=len)
            ids.append(WORDS.index(word))
            text = text.removeprefix(word)
        return Encoded(np.array(ids, np.int32), np.array([len(WORDS[i]) for i in ids], np.int32))

    return Tokenizer(name, 5, encode, lambda ids: '', {}, begin, end)


def layout(tokenizer, length=16, longer='refuse'):
    return TextLayout(tokenizer, length, 'next', False, longer, 'chatml', None)


def aligned(*texts, student=None, **teacher):
    documents = [Document(str(i), f'line {i}', text) for i, text in enumerate(texts)]
    return aligned_rows(documents, layout(student or bytes_tokenizer()), layout(longest_match(**teacher)))


def test_places_are_those_where_both_begin_a_token():
    found = aligned('aabb')  # a, ab, b for the teacher: tokens begin at bytes 0, 1 and 3, and the text ends at 4
    count = found['places_mask'][0].sum()
    assert found['tokens'][0, :4].tolist() == list(b'aabb')
    assert found['teacher_tokens'][0, :4].tolist() == [3, 0, 2, 1]
    # The student has no token that begins a text, so it does not predict byte 0. At its position t it predicts byte
    # t + 1, and the end after byte 4; the teacher predicts bytes 1 and 3 at positions 1 and 2, the end at position 3.
    assert found['places'][0, :count].tolist() == [0, 2, 3]
    assert found['teacher_places'][0, :count].tolist() == [1, 2, 3]
    assert not found['places_mask'][0, count:].any()
    assert {name: array.shape for name, array in found.items()} == dict.fromkeys(found, (1, 16))


def test_tokens_at_the_same_place_begin_with_the_same_byte():
    rng = np.random.default_rng(0)
    texts = [''.join(rng.choice(['a', 'b'], 15)) for _ in range(20)]
    found = aligned(*texts)
    first = np.array([97, 98, 97, 256, 256])
    student, teacher = found['label'], np.roll(found['teacher_tokens'], -1, axis=1)
    for row, mask in enumerate(found['places_mask']):
        own, theirs = found['places'][row, mask], found['teacher_places'][row, mask]
        own, theirs = own[:-1], theirs[:-1]  # the last one is the end of the text
        np.testing.assert_array_equal(student[row, own], first[teacher[row, theirs]])
        assert len(own) == 14 - texts[row].count('ab')  # inside of 'ab' the teacher begins no token


def test_what_two_models_say_of_a_text_agrees_at_every_place():
    # The text is drawn byte by byte, 'a' with 0.3 and 'b' with 0.7. The teacher sees 'a' only before another 'a', or
    # at the end; after 'a' it therefore knows that the next byte is an 'a'. The student sees all bytes.
    found = aligned('abbaabab')
    mask = found['places_mask'][0]
    own, theirs = found['places'][0, mask][:-1], found['teacher_places'][0, mask][:-1]
    student = np.full((16, 260), -np.inf, np.float32)
    student[:, [97, 98]] = np.log([0.3, 0.7])
    teacher = np.full((16, 5), -np.inf, np.float32)
    teacher[:, :3] = np.log([0.09, 0.7, 0.21])
    said = [
        first_bytes(first=first).apply({}, jnp.array(logits)[None], jnp.array(places)[None])['logits']
        for first, logits, places in (
            ((*range(256), 256, 256, 256, 256), student, own), ((97, 98, 97, 256, 256), teacher, theirs),
        )
    ]  # fmt: skip
    np.testing.assert_allclose(losses.kd(*said), 0.0, atol=1e-6)


def test_special_tokens_are_paired_from_the_last_one_on():
    # Two special tokens at byte 3 in both, and one more at the begin of the second.
    found = common_places(np.array([0, 2, 3, 3, 5]), np.array([0, 0, 1, 3, 3]))
    assert found.tolist() == [[0, 2, 3], [1, 3, 4]]
    assert common_places(np.array([1]), np.array([2])).shape == (2, 0)


def test_only_places_count_that_count_for_both():
    pair = Document('a', 'line 1', '', (('prompt', 'bb'), ('answer', 'ba')))
    found = aligned_rows([pair], layout(bytes_tokenizer()), layout(longest_match()))
    kept = found['places'][0][found['places_mask'][0]]
    assert found['label'][0, kept].tolist() == [98, 97, 256]  # 'b' and 'a' of the answer, and the end


def test_a_document_is_cut_or_left_out_for_both():
    documents = [Document('a', 'line 1', 'ab' * 6), Document('b', 'line 2', 'ab'), Document('c', 'line 3', 'b')]

    def found(longer, **teacher):
        return aligned_rows(
            documents, layout(bytes_tokenizer(), 8, longer), layout(longest_match(**teacher), 4, longer)
        )

    assert found('drop')['tokens'].shape == (2, 8)
    assert found('drop', begin=None, end=None) == {}  # of a single token nothing is predicted
    cut = found('cut')
    assert cut['teacher_tokens'].shape == (3, 4)
    assert cut['places'][0][cut['places_mask'][0]].tolist() == [1, 3, 5]  # byte 6 is the last that the teacher predicts
    with pytest.raises(UserError, match=r'line 1 needs 12 tokens, but a row has data.length=8'):
        found('refuse')


def test_a_tokenizer_that_changes_the_text_is_one_sentence():
    with pytest.raises(UserError, match=r"line 0 has 4 bytes for the tokenizer 'bytes' and 3 for 'pairs', because one"):
        aligned('aabb', change=lambda text: text[1:])


def test_a_document_is_cut_into_tokens_once():
    seen = []
    aligned('aabb', 'ab', change=lambda text: seen.append(text) or text)
    assert seen == ['aabb', 'ab']


def test_the_source_has_the_rows_of_both(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_text(''.join(json.dumps({'text': f'the plays number {i}'}) + '\n' for i in range(9)))
    config = dict(
        source='aligned_text', documents=str(path), tokenizer='bytes', teacher_tokenizer='words', length=32,
        teacher_length=8, valid_documents=2, test_documents=1,
    )  # fmt: skip
    splits = load_splits(config, 0)
    assert {name: len(own['id']) for name, own in splits.arrays.items()} == {'train': 6, 'valid': 2, 'test': 1}
    train = splits.arrays['train']
    assert train['teacher_tokens'].shape == (6, 8)
    # Words end at bytes 3, 9, 16 and 18.
    assert train['places'][0][train['places_mask'][0]].tolist() == [2, 8, 15, 17]
    assert splits.vocabulary.teacher.size == 4096
    with pytest.raises(UserError, match=r"data.chat is 'chat', which is no chat template"):
        load_splits({**config, 'chat': 'chat'}, 0)
