"""A replaced file or directory of weights has another checksum."""

import os
import shutil
import types

import pytest

from kd_jax.prepare.weight_checksums import weight_checksums


def checksum(init):
    return weight_checksums([types.SimpleNamespace(name='teacher', init=init)])['teacher']


def test_a_file_has_the_checksum_of_its_bytes_wherever_it_is(tmp_path):
    one, other = tmp_path / 'one.pth', tmp_path / 'other.pth'
    one.write_bytes(b'abc')
    shutil.copyfile(one, other)
    before = checksum(f'torch:{one}')
    assert before == checksum(f'torch:{other}')
    one.write_bytes(b'abd')
    os.utime(one, (0, 0))  # a clock may not have moved on since it was written first
    assert checksum(f'torch:{one}') != before


@pytest.mark.parametrize(
    ('name', 'counts'),
    [('config.json', True), ('a.safetensors', True), ('b.safetensors', True), ('README.md', False)],
)
def test_of_a_model_of_hugging_face_the_files_that_are_read_count(tmp_path, name, counts):
    for file in ('config.json', 'a.safetensors', 'README.md'):
        (tmp_path / file).write_text('abc')
    before = checksum(f'huggingface:{tmp_path}')
    (tmp_path / name).write_text('another')
    assert (checksum(f'huggingface:{tmp_path}') != before) == counts


def test_of_a_run_the_checkpoint_that_is_meant_counts(tmp_path):
    for part in ('checkpoints/7/state', 'best/6/state'):
        (tmp_path / part).parent.mkdir(parents=True)
        (tmp_path / part).write_text('abc')
    last, best = checksum(str(tmp_path)), checksum(f'{tmp_path}@best')
    (tmp_path / 'checkpoints/7/state').write_text('another')
    assert checksum(str(tmp_path)) != last
    assert checksum(f'{tmp_path}@best') == best


def test_what_cannot_be_read_has_no_checksum_and_runs_of_the_study_are_left_out(tmp_path):
    assert checksum(f'torch:{tmp_path / "missing.pth"}') == checksum(str(tmp_path / 'missing')) == ''
    networks = [types.SimpleNamespace(name=name, init=init) for name, init in (('a', 'run:teacher'), ('b', ''))]
    assert weight_checksums(networks) == {}
