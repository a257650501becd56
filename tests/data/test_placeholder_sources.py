"""Data sets that are described by their shapes alone."""

import numpy as np

from kd_jax.data import placeholder_sources, sources


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
