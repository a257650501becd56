import gzip
import json
import zlib

import grain
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.documents import Document
from kd_jax.data.json_lines import EMBEDDED, JsonLines


def read_documents(path):
    return list(JsonLines((path,)))


def written(path, *lines):
    path.write_text(''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines), encoding='utf-8')
    return str(path)


@pytest.mark.parametrize(
    ('name', 'count', 'names', 'begins', 'has'),
    [
        ('plays', 42, 42, "ALL'S WELL THAT ENDS WELL\n\nby William Shakespeare", 'To be, or not to be,--that is the q'),
        ('handbook', 125, 125, 'Chapter\xa012.\xa0Advanced Administration', 'dpkg'),
        ('python_docs', 310, 310, 'Appendix\n\nInteractive Mode', 'Beautiful'),
        ('sentiment', 14_313, 10_905, 'keep your receipt.', 'movie'),
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
    assert found[0].numbers == {'valence': -1.9, 'positive': 0}
    for one in found:
        assert -4 <= one.numbers['valence'] <= 4
        assert one.numbers['positive'] == (one.numbers['valence'] > 0)


def test_the_last_reviews_are_like_the_others():
    found = read_documents('sentiment')
    for part in (found[:9_000], found[-3_000:]):
        assert 0.49 < sum(one.numbers['positive'] for one in part) / len(part) < 0.54
        assert 0.7 < sum(one.name.startswith('sentiment/movie') for one in part) / len(part) < 0.78


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
        (b'\xef\xbb\xbf{"text": "a"}\n', 'line 1 is not JSON .*; save the file as UTF-8 without a byte order mark'),
        (b'["a"]\n', 'line 1 is a list, but it must be an object such as {"text": "..."}'),
        (b'{"texts": "a"}\n', 'line 1 has the keys texts, but it needs text, or prompt and answer, or messages'),
        (b'{"text": 3}\n', 'line 1: text is 3, but it must be a text'),
        (b'{"messages": [{"role": "user"}]}\n', 'messages must be a list of objects with role and content'),
        (b'{"messages": []}\n', 'messages must be a list of objects with role and content'),
        (b'{"messages": [{"role": "prompt", "content": "a"}]}\n', "'prompt' is no role of a message"),
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


def test_every_embedded_text_is_checked_above():
    assert set(EMBEDDED) == {'handbook', 'plays', 'python_docs', 'sentiment'}


def test_a_document_is_read_when_it_is_asked_for_from_whichever_file(tmp_path):
    one = written(tmp_path / 'a.jsonl', {'text': 'one'}, {'text': 'two'})
    other = written(tmp_path / 'b.jsonl', {'text': 'three'})
    lines = JsonLines((one, 'plays', other))
    assert len(lines) == 2 + 42 + 1
    assert [lines[i].text for i in (44, 1, 0)] == ['three', 'two', 'one']
    assert lines[2] == JsonLines(('plays',))[0]
    with pytest.raises(IndexError):
        lines[45]
    (tmp_path / 'a.jsonl').write_bytes(b'{"text": "one"}\n{"text": \xff\xff')
    with pytest.raises(UserError, match=r"a.jsonl', line 2 is not UTF-8 text \(byte 25 of the file\)"):
        lines[1]


def test_a_source_of_grain_reads_the_lines(tmp_path):
    lines = JsonLines((written(tmp_path / 'a.jsonl', {'text': 'one'}, {'text': 'two'}, {'text': 'three'}),))
    read = grain.MapDataset.source(lines).map(lambda document: document.text).to_iter_dataset()
    assert list(read) == ['one', 'two', 'three']


def test_a_line_has_a_last_byte(tmp_path, monkeypatch):
    monkeypatch.setattr('kd_jax.data.json_lines.LINE_BYTES', 20)
    (tmp_path / 'a.jsonl').write_bytes(b'{"text": "a"}\n{"text": "0123456789"}')
    with pytest.raises(UserError, match='line 2 has more than 20 bytes; give each document a line of its own'):
        JsonLines((str(tmp_path / 'a.jsonl'),))


def test_the_checksum_is_that_of_the_content(tmp_path):
    path = written(tmp_path / 'a.jsonl', {'text': 'one'}, {'text': 'two'})
    other = written(tmp_path / 'b.jsonl', {'text': 'one'})
    assert JsonLines((path,)).checksum == zlib.crc32((tmp_path / 'a.jsonl').read_bytes())
    both = (tmp_path / 'a.jsonl').read_bytes() + (tmp_path / 'b.jsonl').read_bytes()
    assert JsonLines((path, other)).checksum == zlib.crc32(both)
