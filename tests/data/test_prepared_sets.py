"""Prepared data sets that would run code are refused before TFDS opens them."""

import json
import shutil

import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.prepared_sets import check_runs_no_code
from kd_jax.data.splits import load_splits


def test_a_data_set_whose_features_name_a_module_of_somebody_is_not_opened(image_files, tmp_path, monkeypatch):
    (tmp_path / 'module_of_a_data_set.py').write_text('raise SystemExit("it ran")\n')
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(image_files, tmp_path / 'sets')
    (path,) = (tmp_path / 'sets').rglob('features.json')
    kind = 'tensorflow_datasets.core.features.class_label_feature.ClassLabel'
    text = path.read_text()
    assert kind in text
    config = {'source': 'tfds_images', 'name': 'squares', 'data_dir': str(tmp_path / 'sets'), 'test': 'validation'}
    load_splits({**config, 'size': 8, 'resize': 10}, 0)
    path.write_text(text.replace(kind, 'module_of_a_data_set.Label'))
    with pytest.raises(UserError, match=r"features.json names the class 'module_of_a_data_set.Label'"):
        load_splits({**config, 'size': 8, 'resize': 10}, 0)
    legacy = {'type': 'tensorflow_datasets.core.features.FeaturesDict', 'content': {'label': {'type': 'of.Nobody'}}}
    path.write_text(json.dumps(legacy))
    with pytest.raises(UserError, match=r"names the class 'of.Nobody'"):
        check_runs_no_code('squares', str(tmp_path / 'sets'))


def test_features_behind_links_or_in_the_home_directory_are_looked_at_too(tmp_path, monkeypatch):
    there = tmp_path / 'elsewhere' / '1.0.0'
    there.mkdir(parents=True)
    (there / 'features.json').write_text(json.dumps({'pythonClassName': 'of.Nobody'}))
    (there / 'back').symlink_to(tmp_path)
    (tmp_path / 'sets' / 'squares').mkdir(parents=True)
    (tmp_path / 'sets' / 'squares' / '1.0.0').symlink_to(there)
    monkeypatch.setenv('HOME', str(tmp_path))
    for directory in (str(tmp_path / 'sets'), '~/sets'):
        with pytest.raises(UserError, match=r"names the class 'of.Nobody'"):
            check_runs_no_code('squares', directory)
    (there / 'features.json').write_text('[' * 5000)
    with pytest.raises(UserError, match=r'features.json is damaged .nested more than 100 deep'):
        check_runs_no_code('squares', '~/sets')


@pytest.mark.parametrize('name', ['huggingface:mnist', 'somebody:set/config:1.0.0'])
def test_a_community_data_set_is_refused(name):
    with pytest.raises(UserError, match=f'data.name is {name!r}, a community data set'):
        check_runs_no_code(name, None)


def test_versions_and_configs_are_no_namespaces():
    for name in ('mnist', 'mnist:3.0.1', 'set/config:1.0.0'):
        check_runs_no_code(name, None)
