import json

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.batches import fetch_batch
from kd_jax.data.example_order import ExampleOrder
from kd_jax.data.splits import load_splits
from kd_jax.data.text_sources import text, tfds_text
from kd_jax.language.decoder import Decoder

NAMES = {'tokens', 'label', 'mask', 'bytes', 'segment', 'position'}


@pytest.fixture
def lines(tmp_path):
    """A file of twelve documents: document i is its letter, i + 5 times."""
    path = tmp_path / 'letters.jsonl'
    path.write_text(''.join(json.dumps({'text': chr(97 + i) * (i + 5)}) + '\n' for i in range(12)))
    return str(path)


def letters(arrays):
    return {chr(token) for token in np.unique(arrays['tokens'][arrays['segment'] > 0])}


def test_every_byte_and_every_end_is_predicted_once_except_first_bytes(lines):
    source = text(documents=lines, length=7, valid_documents=3, test_documents=2)
    count = {
        name: int(own['mask'].sum()) for name, own in (('a', source.train), ('b', source.valid), ('c', source.test))
    }
    assert sum(count.values()) == sum(range(5, 17))  # n bytes: n - 1 of them, and the end
    assert sum(int(own['bytes'].sum()) for own in (source.train, source.valid, source.test)) == sum(range(4, 16))
    assert source.train.keys() == NAMES
    assert source.vocabulary == ('bytes', 260, 257, 'next', None)


@pytest.mark.parametrize('held_by', ['random', 'position'])
def test_no_document_is_in_two_splits(lines, held_by):
    source = text(documents=lines, length=7, valid_documents=3, test_documents=2, held_by=held_by)
    found = [letters(own) for own in (source.train, source.valid, source.test)]
    assert [len(own) for own in found] == [7, 3, 2]
    assert set.union(*found) == set('abcdefghijkl')
    if held_by == 'position':
        assert found[1:] == [set('hij'), set('kl')]


def test_several_files_and_embedded_texts_are_read_one_after_another(lines):
    source = text(documents=(lines, 'plays'), length=512, test_documents=1, held_by='position')
    assert letters(source.test) > set('abcdefgh ')
    assert source.train['tokens'][0, :5].tobytes() == np.frombuffer(b'aaaaa', np.uint8).astype(np.int32).tobytes()


def test_the_documents_of_several_files_are_alike(lines, tmp_path):
    pairs = tmp_path / 'pairs.jsonl'
    pairs.write_text('{"prompt": "a", "answer": "b"}\n' * 3)
    with pytest.raises(
        UserError, match=r"pairs.jsonl', line 1: all lines must be alike, .* prompt and answer and text"
    ):
        text(documents=(lines, str(pairs)), length=7)
    with pytest.raises(UserError, match=r"'plays', line 1: .* have text and text, positive, valence"):
        text(documents=('sentiment', 'plays'), length=7, pack=False, longer='cut')


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(lines):
    one = text(documents=lines, length=7)
    assert text(documents=lines, length=7) is one
    with open(lines, 'a') as file:
        file.write('{"text": "zzz"}\n')
    assert 'z' in letters(text(documents=lines, length=7).train)


def test_the_rows_of_a_run_come_in_an_order_of_seed_and_step_alone(lines):
    config = {'source': 'text', 'documents': lines, 'length': 7, 'valid_documents': 2}
    one, two = (ExampleOrder(load_splits(config, seed=0), 4, 0) for _ in range(2))
    whole, resumed = one.steps(0, 9)[0], two.steps(5, 4)[0]
    np.testing.assert_array_equal(whole[5:], resumed)


def test_rows_are_not_held_out_because_they_share_documents(lines):
    with pytest.raises(UserError, match=r'c, data.valid is 3, but rows of text share documents, .* set data.valid_doc'):
        load_splits({'source': 'text', 'documents': lines, 'length': 7, 'valid': 3}, 0, 'c')
    own = load_splits({'source': 'text', 'documents': lines, 'length': 7, 'valid_documents': 3, 'valid': 2}, 0, 'c')
    assert len(own.arrays['valid']['id']) == 2  # rows of the documents that are held out


@pytest.mark.parametrize(
    ('options', 'says'),
    [
        ({'documents': 3}, 'data.documents is 3, but it must be a name or a path, or several of them'),
        ({'documents': 'letters.jsonl'}, 'there is no such file'),
        ({'length': 0}, 'c, data.length is 0, but it must be 1 or more'),
        ({'held_by': 'positions'}, "there is no held_by 'positions'. Did you mean 'position'"),
        ({'valid_documents': 12}, 'data.valid_documents is 12 .* there are 12 documents'),
        ({'chat': 'chat_ml'}, "data.chat is 'chat_ml', which is no chat template. Did you mean 'chatml'"),
        ({'tokenizer': 'byte'}, "data.tokenizer is 'byte'"),
        ({'augment': {'mask_words': 0.15}}, "c, data.augment.mask_words masks .* set data.predicts='masked'"),
        ({'augment': {'crop': 1}}, "c, data.augment.crop changes images, but the data of 'text' has no array 'image'"),
    ],
)
def test_a_mistake_is_one_sentence_before_training(lines, options, says):
    with pytest.raises(UserError, match=says):
        load_splits({'source': 'text', 'documents': lines, 'length': 7, **options}, 0, 'c')


def test_masked_words_are_masked_alike_in_evaluation_and_anew_in_training(lines):
    config = {'source': 'text', 'documents': lines, 'length': 7, 'predicts': 'masked', 'valid_documents': 2}
    splits = load_splits({**config, 'augment': {'mask_words': 0.5}}, 0)
    valid = splits.arrays['valid']
    kept = ~valid['mask']
    np.testing.assert_array_equal(valid['tokens'][kept], valid['label'][kept])
    assert (valid['label'][valid['segment'] > 0] != 257).all()
    assert splits.augment['mask_words'] == (0.5, 257, 260)


@pytest.fixture(scope='session')
def prepared(tmp_path_factory):
    """A TFDS data set of four texts, whose examples are written as TFDS writes them."""
    tfds = pytest.importorskip('tensorflow_datasets')
    directory = tmp_path_factory.mktemp('tfds_text')
    texts = {'train': ['one', 'zwei', 'trois'], 'test': ['vier']}

    class Numbers(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version('1.0.0')

        def _info(self):
            features = {'text': tfds.features.Text(), 'label': tfds.features.ClassLabel(num_classes=3)}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {name: self._generate_examples(name) for name in texts}

        def _generate_examples(self, split):
            yield from ((i, {'text': text, 'label': i % 3}) for i, text in enumerate(texts[split]))

    tfds.display_progress_bar(False)
    Numbers(data_dir=directory, file_format='array_record').download_and_prepare()
    return str(directory)


def test_the_texts_of_a_tfds_data_set_are_documents(prepared):
    source = tfds_text(name='numbers', data_dir=prepared, length=16)
    assert letters(source.test) == set('vier')
    assert letters(source.train) == set('onezweitrois')
    assert int(source.train['mask'].sum()) == 3 + 4 + 5
    lazy = tfds_text(name='numbers', data_dir=prepared, length=16, in_memory=False).train['tokens']
    for name, array in lazy.read(np.arange(len(lazy))).items():
        np.testing.assert_array_equal(array, source.train[name])
    with pytest.raises(UserError, match=r"has no 'texts'; data.key must be one of label, text"):
        tfds_text(name='numbers', data_dir=prepared, key='texts')


def test_the_numbers_of_a_line_are_targets_of_its_row(tmp_path):
    path = tmp_path / 'rated.jsonl'
    path.write_text('{"text": "good", "class": 1, "stars": 4.5}\n{"text": "bad", "class": 0, "stars": 1}\n')
    arrays = text(documents=str(path), length=8, pack=False).train
    assert arrays['class'].tolist() == [1, 0]
    assert arrays['class'].dtype.kind == 'i'  # classes, which a loss may read as labels
    assert arrays['stars'].tolist() == [4.5, 1.0]
    path.write_text('{"text": "good", "class": 4294967297}\n')
    with pytest.raises(UserError, match=r'4294967297, which does not fit into the 32 bits'):
        load_splits({'source': 'text', 'documents': str(path), 'length': 8, 'pack': False}, 0, 'c')


def test_a_decoder_says_the_same_of_packed_and_unpacked_documents(tmp_path):
    path = tmp_path / 'pairs.jsonl'
    pairs = [('ab', 'xyz'), ('c', 'vw'), ('d', 'u'), ('efg', 'tu')]
    path.write_text(''.join(json.dumps({'prompt': prompt, 'answer': answer}) + '\n' for prompt, answer in pairs))
    packed, alone = (text(documents=str(path), length=8, pack=pack).train for pack in (True, False))
    assert len(packed['tokens']) < len(alone['tokens']) == 4
    module = Decoder(vocabulary=260, width=8, layers=1, heads=2, mlp_width=8)
    shapes, rng = jax.eval_shape(module.init, jax.random.key(0), packed['tokens']), np.random.default_rng(0)
    variables = jax.tree.map(lambda array: rng.normal(size=array.shape).astype(np.float32), shapes)

    def logits(arrays, *given):
        inputs = [arrays[name] for name in ('tokens', *given)]
        found = np.asarray(jax.jit(lambda *own: module.apply(variables, *own)['logits'])(*inputs))
        first = [(row, place) for row, place in np.argwhere(arrays['segment'] > 0)]
        known = {
            (bytes(arrays['tokens'][row, place - arrays['position'][row, place] : place + 1].astype(np.uint8))): (
                np.asarray(found[row, place]),
                int(arrays['label'][row, place]),
                bool(arrays['mask'][row, place]),
            )
            for row, place in first
        }  # what was read of the document -> what is predicted
        assert len(known) == len(first)
        return known

    wanted = logits(alone)
    for read, (own, label, mask) in logits(packed, 'segment', 'position').items():
        np.testing.assert_allclose(own, wanted[read][0], rtol=1e-4, atol=1e-5)
        assert (label, mask) == wanted[read][1:]
    without = logits(packed)
    assert max(np.abs(without[read][0] - wanted[read][0]).max() for read in wanted) > 0.1


def test_a_batch_of_text_is_a_batch_like_others(lines):
    splits = load_splits({'source': 'text', 'documents': lines, 'length': 7}, 0)
    shapes = jax.tree.map(lambda array: array[:2].shape, splits.arrays['train'])
    assert shapes == {**dict.fromkeys(NAMES, (2, 7)), 'id': (2,)}


@pytest.mark.parametrize('in_memory', [True, False])
def test_sentences_are_documents_of_the_split_of_their_text(tmp_path, in_memory):
    path = tmp_path / 'a.jsonl'
    texts = ['One a b c. Two a b c.', 'Six a b c.', 'Ten a b c. It is a b']
    path.write_text(''.join(json.dumps(dict(text=one, positive=1)) + '\n' for one in texts))
    options = dict(documents=str(path), length=12, predicts='nothing', sentences=True, in_memory=in_memory)
    alone = load_splits(dict(options, source='text', pack=False, held_by='position', test_documents=1), 0).arrays

    def read(split):
        arrays = fetch_batch(alone[split], alone[split]['id'])
        assert set(arrays) == {'id', 'tokens', 'bytes', 'segment', 'position'}
        return [bytes(token for token in row.tolist() if 0 < token < 256).decode() for row in arrays['tokens']]

    assert (read('train'), read('test')) == (['One a b c.', 'Two a b c.', 'Six a b c.'], ['Ten a b c.', 'It is a b'])


def test_conversations_have_no_sentences(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_text('{"prompt": "a", "answer": "b"}\n' * 2)
    with pytest.raises(UserError, match=r'line 1: data\.sentences takes plain text, not prompts or messages'):
        text(documents=str(path), length=12, sentences=True)
