import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.documents import Document
from kd_jax.data.token_rows import TextLayout, end_token, sequences_of, token_rows
from kd_jax.data.tokenizers import bytes_tokenizer

END = 256  # of the tokenizer 'bytes'


def how(**options):
    given = {'length': 8, 'predicts': 'next', 'pack': True, 'longer': 'refuse', 'chat': 'chatml', 'end': None}
    return TextLayout(bytes_tokenizer(), **{**given, **options})


def pair(prompt, answer):
    return Document(prompt, f'the document {prompt!r}', '', (('prompt', prompt), ('answer', answer)))


def text_of(tokens):
    return bytes_tokenizer().decode(tokens)


def test_a_document_is_read_and_its_end_is_predicted():
    (found,) = sequences_of(Document('a', 'here', 'née'), how())
    assert text_of(found.label) == 'ée<|endoftext|>'
    assert found.tokens.tolist() == [*'née'.encode()]
    assert found.mask.all()
    assert found.bytes.tolist() == [1, 1, 1, 0]  # the end stands for no byte of the text


def test_the_end_may_be_another_special_token():
    assert end_token(how(end='<|im_end|>')) == 259
    with pytest.raises(UserError, match=r"data.end needs the special token '<end>', which tokenizer 'bytes' does not"):
        end_token(how(end='<end>'))


def test_only_the_answer_counts_from_its_first_token_to_the_end():
    (found,) = sequences_of(pair('ab', 'xy'), how())
    assert text_of(found.tokens) == 'abxy'
    assert found.label.tolist() == [*b'bxy', END]
    assert found.mask.tolist() == [False, True, True, True]  # the last token of the prompt predicts x


def test_a_conversation_ends_with_the_last_answer():
    talk = Document('a', 'here', '', (('user', 'p'), ('assistant', 'q')))
    (found,) = sequences_of(talk, how(length=50))
    assert text_of(found.tokens) == '<|im_start|>user\np<|im_end|>\n<|im_start|>assistant\nq'
    assert text_of(found.label[found.mask]) == 'q<|im_end|>'
    assert found.bytes[found.mask].tolist() == [1, 0]


def test_pairs_lie_whole_in_rows():
    found = token_rows([pair('ab', 'xyz'), pair('c', 'vw'), pair('d', 'u')], how())
    assert [text_of(row[row > 0]) for row in found['tokens']] == ['abxyzcvw'[:8], 'du']
    assert found['segment'].tolist() == [[1, 1, 1, 1, 1, 2, 2, 2], [1, 1, 0, 0, 0, 0, 0, 0]]
    assert found['position'].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2], [0, 1, 0, 0, 0, 0, 0, 0]]
    assert found['mask'].sum() == 4 + 3 + 2  # the letters of the answers and the ends
    assert found['bytes'][found['mask']].sum() == 3 + 2 + 1


@pytest.mark.parametrize(
    ('document', 'says'),
    [
        (pair('a' * 9, 'b'), 'the prompt has 9 tokens, but a row has data.length=8, so no answer fits; increase'),
        (pair('a' * 8, 'b'), 'needs 9 tokens, but a row has data.length=8; increase length, or set longer='),
    ],
)
def test_a_document_that_must_stay_whole_and_is_longer_is_refused(document, says):
    with pytest.raises(UserError, match=says):
        token_rows([document], how())


def test_a_longer_document_is_dropped_or_cut():
    pairs = [pair('ab', 'x' * 9), pair('c', 'y'), pair('d' * 9, 'z')]
    assert text_of(token_rows(pairs, how(longer='drop'))['tokens'][0, :2]) == 'cy'
    found = token_rows(pairs[:1], how(longer='cut'))
    assert text_of(found['label'][0]) == 'b' + 'x' * 7
    with pytest.raises(UserError, match='the prompt has 9 tokens'):
        token_rows(pairs, how(longer='cut'))
    assert token_rows(pairs[2:], how(longer='drop')) == {}


def test_documents_in_rows_of_their_own_bring_their_numbers():
    documents = [Document(t, t, t, (), {'grade': i, 'valence': i / 2}) for i, t in enumerate(('ab', 'cdefghijk', 'l'))]
    found = token_rows(documents, how(pack=False, longer='drop'))
    assert [text_of(row[row > 0]) for row in found['tokens']] == ['ab', 'l']
    assert found['grade'].tolist() == [0, 2]
    assert found['valence'].tolist() == [0.0, 1.0]
    assert (found['grade'].dtype.kind, found['valence'].dtype) == ('i', np.float32)
    with pytest.raises(UserError, match='label is the name of an array of tokens; give it another name'):
        token_rows([Document('a', 'here', 'b', (), {'label': 1})], how(pack=False))


def test_masked_words_are_predicted_where_they_are_and_every_piece_has_its_end():
    (one, two) = sequences_of(Document('a', 'here', 'abcdefghi'), how(predicts='masked'))
    assert one.tokens.tolist() == one.label.tolist() == [*b'abcdefg', END]
    assert two.label.tolist() == [*b'hi', END]
    assert two.mask.tolist() == [True, True, False]
    with pytest.raises(UserError, match=r"data.predicts='masked' takes plain text, not prompts or messages"):
        sequences_of(pair('a', 'b'), how(predicts='masked'))
    with pytest.raises(UserError, match=r'has 9 tokens, but data.length=8 leaves room for 7'):
        sequences_of(Document('a', 'here', 'abcdefghi'), how(predicts='masked', pack=False))


def test_a_document_to_classify_is_read_whole_and_unmasked():
    found = token_rows([Document('a', 'here', 'ab', (), {'positive': 1})], how(predicts='nothing', pack=False))
    assert found.keys() == {'tokens', 'bytes', 'segment', 'position', 'positive'}
    assert found['tokens'].tolist() == [[*b'ab', END, 0, 0, 0, 0, 0]]
    assert found['segment'].tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]]


def test_no_documents_have_no_rows():
    assert token_rows([], how()) == {}
