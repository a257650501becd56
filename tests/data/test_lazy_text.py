import json

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.batches import batch_shapes, fetch_batch
from kd_jax.data.example_order import ExampleOrder
from kd_jax.data.read_ahead import read_batches
from kd_jax.data.source_checksum import source_checksum
from kd_jax.data.splits import load_splits
from kd_jax.data.text_sources import text
from kd_jax.data.token_rows import sequences_of


@pytest.fixture
def files(tmp_path):
    """Files of twelve texts with a number, of pairs, and of conversations; some lines have the name of another."""
    words = [chr(97 + i) * (3 * i + 2) for i in range(12)]
    texts = [{'text': word, 'class': i, 'name': f'n{i % 9}'} for i, word in enumerate(words)]
    pairs = [{'prompt': word, 'answer': word[:3].upper()} for word in words]
    talks = [
        {'messages': [{'role': 'user', 'content': word}, {'role': 'assistant', 'content': word[:2]}]} for word in words
    ]
    for name, lines in (('texts', texts), ('pairs', pairs), ('talks', talks)):
        (tmp_path / f'{name}.jsonl').write_text(''.join(json.dumps(line) + '\n\n' for line in lines))
    return tmp_path


@pytest.mark.parametrize(
    'options',
    [
        dict(documents='texts'),
        dict(documents='texts', held_by='position', length=64),
        dict(documents='texts', pack=False, longer='cut'),
        dict(documents='texts', pack=False, longer='drop'),
        dict(documents='texts', predicts='masked'),
        dict(documents='texts', predicts='nothing', pack=False, longer='cut'),
        dict(documents='pairs', longer='drop'),
        dict(documents='talks', length=90),
    ],
)
def test_rows_that_are_read_later_are_those_in_memory(files, options):
    options = dict(length=16, valid_documents=2, test_documents=3) | options
    options |= dict(documents=str(files / f'{options["documents"]}.jsonl'))
    config, lazy = options | dict(source='text'), options | dict(source='text', in_memory=False)
    whole, later = (load_splits(one, 0) for one in (config, lazy))
    assert whole.resident
    assert not later.resident
    assert whole.arrays.keys() == later.arrays.keys() >= {'train', 'test'}
    for split, arrays in whole.arrays.items():
        own = later.arrays[split]
        assert own['id'].tolist() == arrays['id'].tolist()
        places = np.stack([arrays['id'], arrays['id'][::-1]])  # [2, rows]
        read = fetch_batch(own, places)
        assert read.keys() == arrays.keys()
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array[places], err_msg=f'{split} {name}')
    shapes = [jax.tree.leaves(batch_shapes(one.arrays['train'], 2)) for one in (whole, later)]
    assert shapes[0] == shapes[1]


def test_a_stream_of_rows_goes_on_where_it_stopped(files):
    config = dict(source='text', documents=str(files / 'texts.jsonl'), length=16, in_memory=False)
    loaded = load_splits(config, seed=3)
    arrays, order = loaded.arrays['train'], ExampleOrder(loaded, 4, 3)

    def at(step):
        positions, views = order.steps(step, 1)
        return positions[0], views[0]

    whole = list(read_batches(arrays, at, 0, 9))
    for one, other in zip(whole[5:], read_batches(arrays, at, 5, 9), strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name])
    in_memory = load_splits(config | dict(in_memory=True), seed=3).arrays['train']
    for name, array in whole[7].items():
        np.testing.assert_array_equal(array, in_memory[name][at(7)[0]])


def test_a_document_is_cut_into_tokens_once_for_a_batch(files, monkeypatch):
    monkeypatch.setattr('kd_jax.data.lazy_text.RECENT', 1)
    config = dict(source='text', documents=str(files / 'texts.jsonl'), length=4, in_memory=False)
    arrays, cut = load_splits(config, 0).arrays['train'], []

    def counted(document, rows):
        cut.append(document)
        return sequences_of(document, rows)

    monkeypatch.setattr('kd_jax.data.lazy_text.sequences_of', counted)
    fetch_batch(arrays, np.concatenate([arrays['id'], arrays['id']]))
    assert len(arrays['id']) > len(cut) == 12


def test_a_file_that_changed_while_it_is_read_is_refused(files):
    path = files / 'texts.jsonl'
    loaded = load_splits(dict(source='text', documents=str(path), length=16, in_memory=False), 0)
    path.write_text(path.read_text().replace('cccccccc', r'\u0063cc'))
    with pytest.raises(UserError, match=r'data.documents has changed: document 3 is another one than when'):
        fetch_batch(loaded.arrays['train'], loaded.arrays['train']['id'])


def test_a_mistake_in_any_line_is_found_before_training(files):
    path = files / 'texts.jsonl'
    path.write_text(path.read_text() + '{"text": ""}\n')
    with pytest.raises(UserError, match=r"texts.jsonl', line 25: text is empty; leave this document out"):
        text(documents=str(path), length=16, in_memory=False)


def test_the_checksum_tells_files_and_layouts_apart(files):
    def checksum(**options):
        return source_checksum(text(documents=str(files / 'texts.jsonl'), in_memory=False, **options))

    found = [checksum(length=16), checksum(length=32), checksum(length=16, valid_documents=2)]
    (files / 'texts.jsonl').write_text((files / 'texts.jsonl').read_text().replace('aa', 'ab'))
    found.append(checksum(length=16))
    assert len(set(found)) == 4


def test_the_checksum_tells_vocabularies_apart(files, tmp_path):
    """A file of as many tokens in another order, which gives rows of the same sizes."""
    special, file = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'], tmp_path / 'vocab.txt'

    def checksum(letters):
        file.write_text('\n'.join([*special, *letters, *(f'##{letter}' for letter in letters)]) + '\n')
        found = text(documents=str(files / 'texts.jsonl'), length=64, in_memory=False, tokenizer=f'vocab:{file}')
        return source_checksum(found)

    assert checksum('abcdefghijklm') == checksum('abcdefghijklm') != checksum('bacdefghijklm')


def test_options_that_files_of_text_cannot_have_are_refused(files):
    config = dict(source='text', documents=str(files / 'texts.jsonl'), length=16, in_memory=False)
    for options, says in (
        (dict(resident=True), 'reads its examples from files and is always streamed; leave resident out'),
        (dict(workers=2), 'workers is for sources that read images from files'),
    ):
        with pytest.raises(UserError, match=says):
            load_splits(config | options, 0)
