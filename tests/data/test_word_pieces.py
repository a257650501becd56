import pytest

from kd_jax.data.tokenizers import WORDS
from kd_jax.data.word_pieces import joined, tokenizer_json, word_pieces

TOKENS = ['[UNK]', 'un', '##believ', '##able', '##a', 'cafe', '!', ',', '猫', 's', 'a', '##b', '##ab', 'word', '1']
VOCABULARY = {token: number for number, token in enumerate(TOKENS)}


def cut(text):
    return [TOKENS[piece.token] for piece in word_pieces(text, VOCABULARY)]


@pytest.mark.parametrize(
    ('text', 'pieces'),
    [
        ('Unbelievable!', ['un', '##believ', '##able', '!']),
        ('CAFÉ, cafe\u0301', ['cafe', ',', 'cafe']),  # capitals and accents, composed or not, do not count
        ('s猫s', ['s', '猫', 's']),
        ('aab', ['a', '##ab']),  # the longest piece first
        ('unx word', ['[UNK]', 'word']),  # the whole word is unknown
        ('wo\u200brd\x00', ['word']),  # control characters are left out
        ('word' * 26, ['[UNK]']),  # longer than 100 characters
        (' \n\u200b', []),
    ],
)
def test_a_text_is_cut_into_words_and_these_into_the_longest_pieces(text, pieces):
    assert cut(text) == pieces


def test_the_bytes_of_a_piece_reach_from_the_end_of_the_piece_before():
    # Two spaces and un; believ; able; a space and café, which has five bytes; the exclamation mark.
    found = word_pieces('  Unbelievable café!', VOCABULARY)
    assert [piece.bytes for piece in found] == [4, 6, 4, 6, 1]
    assert sum(piece.bytes for piece in word_pieces('猫s unx 1', VOCABULARY)) == len('猫s unx 1'.encode())


def test_pieces_are_joined_to_words():
    assert joined(['un', '##believ', '##able', '!']) == 'unbelievable !'


def test_the_package_tokenizers_cuts_alike_and_frames_texts_as_bert_does():
    tokenizers = pytest.importorskip('tokenizers', reason="needs pip install '.[language]'")
    tokens = WORDS.read_text('utf-8').splitlines()
    vocabulary = {token: number for number, token in enumerate(tokens)}
    theirs = tokenizers.Tokenizer.from_str(tokenizer_json(vocabulary))
    for text in (
        'Zoë said: 12 naïve 猫s.',
        'İstanbul ẞ 한국어 e\u0301 a\u200bb',
        '“quoted” — x_y=np.zeros((2,3))',
        'x' * 101,
    ):
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert [piece.token for piece in word_pieces(text, vocabulary)] == ids
    pair = theirs.encode('a', 'a [MASK]')
    assert pair.tokens == ['[CLS]', 'a', '[SEP]', 'a', '[MASK]', '[SEP]']
    assert pair.type_ids == [0, 0, 0, 1, 1, 1]
    assert theirs.decode(pair.ids) == 'a a'
