"""Data sets that are described by their shapes alone."""

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data import placeholder_sources, sources
from kd_jax.data.splits import load_splits


def test_data_that_is_only_described_takes_no_memory_and_no_disk():
    wanted = {'data': {'source': 'cifar100', 'data_dir': '/nowhere'}}
    source = placeholder_sources.without_data(wanted)['data']['source']()
    assert source.train['image'].shape == (50_000, 32, 32, 3)
    assert source.train['image'].base.nbytes == 1
    assert np.bincount(source.test['label']).tolist() == [100] * 100
    assert set(placeholder_sources.__all__) <= set(sources.__all__)
    images = placeholder_sources.without_data({'data': {'source': 'imagenet2012'}})['data']['source']().train['image']
    assert len(images) == 1_281_167
    assert images.read(np.array([5]))['image'].shape == (1, 224, 224, 3)
    other = {'data': {'source': 'mnist', 'valid': 7}}
    assert placeholder_sources.without_data(other) == other


def test_text_that_is_only_described_reads_no_file_and_needs_no_tokenizer():
    data = {'source': 'text', 'documents': 'nowhere.jsonl', 'tokenizer': 'gguf:nowhere.gguf', 'length': 64}
    config = placeholder_sources.without_data(
        {'data': {**data, 'predicts': 'masked', 'augment': {'mask_words': 0.15}, 'views': 2}}
    )
    found = load_splits({**config['data'], 'valid': 100}, 0)
    assert {name: array.shape for name, array in found.arrays['train'].items()} == {
        **dict.fromkeys(('tokens', 'label', 'mask', 'bytes', 'segment', 'position'), (10_000, 64)), 'id': (10_000,),
    }  # fmt: skip
    with pytest.raises(UserError, match=r"there is no option 'lengths'. Did you mean 'length'"):
        load_splits({**config['data'], 'lengths': 3}, 0)
    data = {'source': 'tfds_text', 'name': 'nowhere', 'length': 8, 'predicts': 'nothing'}
    arrays = load_splits(placeholder_sources.without_data({'data': data})['data'], 0).arrays['test']
    assert arrays['tokens'].shape == (1000, 8)
    assert arrays.keys() == {'tokens', 'bytes', 'segment', 'position', 'id'}


def test_included_reviews_that_are_only_described_have_their_numbers():
    data = {'source': 'text', 'documents': 'sentiment', 'length': 8, 'pack': False}
    described = load_splits(placeholder_sources.without_data({'data': data})['data'], 0).arrays['train']
    real = load_splits({**data, 'length': 32, 'longer': 'cut', 'test_documents': 10_000}, 0).arrays['train']
    assert {name: array.dtype for name, array in described.items()} == {name: a.dtype for name, a in real.items()}
