import gzip
import json

import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.documents import EMBEDDED, Document, checked, read_documents, split_documents


def written(path, *lines):
    path.write_text(''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines), encoding='utf-8')
    return str(path)


@pytest.mark.parametrize(
    ('name', 'count', 'names', 'begins', 'has'),
    [
        ('plays', 42, 42, "ALL'S WELL THAT ENDS WELL\n\nby William Shakespeare", 'To be, or not to be,--that is the q'),
        ('handbook', 125, 125, 'Chapter\xa012.\xa0Advanced Administration', 'dpkg'),
        ('python_docs', 310, 310, 'Appendix\n\nInteractive Mode', 'Beautiful'),
        ('sentiment', 14_313, 10_905, 'troubleshooting ad-2500', 'movie'),
    ],
)
def test_the_embedded_texts_are_documents_with_names(name, count, names, begins, has):
    found = read_documents(name)
    assert len(found) == count
    assert len({one.name for one in found}) == names
    assert found[0].text.startswith(begins)
    assert any(has in one.text for one in found)
    assert all(one.name.startswith(f'{name}/') and not one.messages for one in found)


def test_the_ratings_of_snippets_are_kept():
    found = read_documents('sentiment')
    assert found[0].numbers == {'valence': -0.9, 'positive': 0}
    for one in found:
        assert -4 <= one.numbers['valence'] <= 4
        assert one.numbers['positive'] == (one.numbers['valence'] > 0)


def test_lines_are_texts_pairs_or_conversations(tmp_path):
    path = written(tmp_path / 'a.jsonl', {'text': 'Grüße', 'class': 3}, {'name': 'b', 'text': 'x', 'class': 4})
    place = f'data.documents={path!r}, line '
    assert read_documents(path) == [
        Document(f'{path}/1', f'{place}1', 'Grüße', (), {'class': 3}),
        Document(f'{path}/b', f'{place}2', 'x', (), {'class': 4}),
    ]
    pair = written(tmp_path / 'p.jsonl', {'prompt': '1+1=', 'answer': '2'})
    assert read_documents(pair)[0].messages == (('prompt', '1+1='), ('answer', '2'))
    talk = [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    chat = written(tmp_path / 'c.jsonl', {'messages': talk, 'source': 'somewhere'})
    assert read_documents(chat)[0].messages == (('user', 'Hi'), ('assistant', 'Hello'))


def test_a_packed_file_is_read_as_the_file_itself(tmp_path):
    plain = written(tmp_path / 'a.jsonl', {'text': 'one'}, {'text': 'two'})
    with gzip.open(tmp_path / 'a.jsonl.gz', 'wb') as file:
        file.write((tmp_path / 'a.jsonl').read_bytes())
    assert [one.text for one in read_documents(f'{plain}.gz')] == [one.text for one in read_documents(plain)]


@pytest.mark.parametrize(
    ('content', 'says'),
    [
        (b'{"text": "a"}\n{"text": "\xff"}\n', r'line 2 is not UTF-8 text \(byte 24 of the file\); save the file as'),
        (b'{"text": "a"}\n{"text": " \\n"}\n', 'line 2: text is empty; leave this document out'),
        (b'{"prompt": "a", "answer": ""}\n', 'line 1: answer is empty'),
        (b'{"text": "a"}\n\n{"text": \n', 'line 3 is not JSON'),
        (b'["a"]\n', 'line 1 is a list, but it must be an object such as {"text": "..."}'),
        (b'{"texts": "a"}\n', 'line 1 has the keys texts, but it needs text, or prompt and answer, or messages'),
        (b'{"text": 3}\n', 'line 1: text is 3, but it must be a text'),
        (b'{"messages": [{"role": "user"}]}\n', 'messages must be a list of objects with role and content'),
        (b'{"messages": []}\n', 'messages must be a list of objects with role and content'),
        (b'{"messages": [{"role": "prompt", "content": "a"}]}\n', "'prompt' is no role of a message"),
        (b'{"text": "a", "n": 1}\n{"text": "a"}\n', 'line 2: all lines must be alike, but this one and the first have '
         'text and text, n'),
        (b'{"text": "a"}\n{"prompt": "a", "answer": "b"}\n', 'have prompt and answer and text'),
        (b'\n', 'has no documents'),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_one_sentence(content, says, tmp_path):
    (tmp_path / 'a.jsonl').write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_documents(str(tmp_path / 'a.jsonl'))


def test_a_file_that_does_not_exist_or_is_no_file_of_lines_is_refused(tmp_path):
    with pytest.raises(UserError, match='there is no such file'):
        read_documents(str(tmp_path / 'a.jsonl'))
    with pytest.raises(
        UserError, match=r"neither a file \*.jsonl or \*.jsonl.gz nor a text of .* Did you mean 'plays'"
    ):
        read_documents('play')
    (tmp_path / 'a.jsonl.gz').write_bytes(b'no gzip')
    with pytest.raises(UserError, match='cannot be read'):
        read_documents(str(tmp_path / 'a.jsonl.gz'))


def test_a_file_that_would_unpack_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('kd_jax.config.ordinary_files.UNPACKED', 1000)
    with gzip.open(tmp_path / 'a.jsonl.gz', 'wb') as file:
        file.write(b' ' * 10**6)
    with pytest.raises(UserError, match='would take 1,000,000 bytes of memory'):
        read_documents(str(tmp_path / 'a.jsonl.gz'))


def test_an_empty_text_is_refused():
    with pytest.raises(UserError, match='here: text is empty'):
        checked(Document('a', 'here'))


def documents(*names):
    return [Document(name, f'line {i}', f'text {i}') for i, name in enumerate(names)]


@pytest.mark.parametrize('by', ['random', 'position'])
def test_a_document_is_in_one_split_and_every_document_in_some(by):
    found = documents(*'abcdefaghiaj')
    split = split_documents(found, 3, 2, by)
    names = {name: {one.name for one in own} for name, own in split.items()}
    assert {name: len(own) for name, own in names.items()} == {'train': 5, 'valid': 3, 'test': 2}
    assert sorted(one for own in split.values() for one in own) == sorted(found)
    assert set.union(*names.values()) == set('abcdefghij')
    assert sum(len(own) for own in names.values()) == 10


def test_the_last_documents_are_for_testing_and_those_before_for_validation():
    split = split_documents(documents(*'abcdef'), 2, 1, 'position')
    assert {name: ''.join(one.name for one in own) for name, own in split.items()} == {
        'train': 'abc', 'valid': 'de', 'test': 'f',
    }  # fmt: skip


def test_the_test_documents_do_not_depend_on_the_number_for_validation():
    found = documents(*'abcdefghij')
    assert split_documents(found, 0, 3, 'random')['test'] == split_documents(found, 5, 3, 'random')['test']


@pytest.mark.parametrize(('valid', 'test'), [(2, 1), (0, 3), (-1, 0)])
def test_a_document_must_be_left_for_training(valid, test):
    with pytest.raises(UserError, match='but there are 3 documents and one must be left for training'):
        split_documents(documents(*'abc'), valid, test, 'random')


def test_every_embedded_text_is_checked_above():
    assert set(EMBEDDED) == {'handbook', 'plays', 'python_docs', 'sentiment'}
