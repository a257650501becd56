from kd_jax.data.byte_level import BYTES, first_bytes


def test_every_byte_has_one_character():
    assert sorted(BYTES.values()) == list(range(256))
    assert BYTES['a'] == 97
    assert BYTES['Ġ'] == 32  # a space, as GPT-2 writes it
    assert BYTES['Ċ'] == 10


def test_the_first_byte_of_a_token_is_that_of_its_first_character():
    vocabulary = {'Ġthe': 0, 'Ã©': 1, '<|end|>': 2, 'é': 4, '': 5}
    # 'é' has the bytes 195 and 169; number 3 has no token.
    assert first_bytes(vocabulary, plain={4}, special={2}) == [32, 195, 256, 256, 195, 256]
