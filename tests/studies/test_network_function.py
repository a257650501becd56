"""Tests of `kd_jax.load`: the function of a finished run's network predicts what the study measured."""

import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import kd_jax
from kd_jax.config.errors import UserError
from kd_jax.studies.workdir import Workdir
from tests.chain_study import edit_result


@pytest.fixture(scope='module')
def test_split(chain_study):
    with np.load(chain_study / 'data.npz') as file:
        return {name: file[f'test_{name}'] for name in ('image', 'label')}


@pytest.mark.parametrize(('run', 'row'), [('student-s0', 'last'), ('student', 'last'), ('student-s0@best', 'best')])
def test_predictions_make_the_errors_of_the_result(run, row, chain_study, test_split):
    result = Workdir(chain_study).result('student-s0')
    assert result['best']['step'] < result['last']['step']
    for name in ('average', 'pair', 'second', 'simkd'):  # simkd reads frozen weights of another run
        logits = kd_jax.load(chain_study, run, name)(test_split['image'])
        errors = (np.argmax(logits, -1) != test_split['label']).sum() / (2 if name in ('pair', 'second') else 1)
        assert errors == result[row]['test'][name]['errors']


def test_any_batch_size_and_floats_give_the_same_logits_and_all_activations_are_there(chain_study, test_split):
    images = test_split['image'][:7]
    predict = kd_jax.load(str(chain_study), 'student', 'average')
    logits = predict(images)
    np.testing.assert_allclose(predict(images[:1]), logits[:1], rtol=1e-5)
    np.testing.assert_allclose(predict(images / np.float32(255)), logits, rtol=1e-5)
    np.testing.assert_allclose(predict({'image': images}), logits)
    found = predict(images, activations=True)
    assert found['hidden1'].shape == (7, 4)
    np.testing.assert_array_equal(found['logits'], logits)
    assert jax.grad(lambda x: predict(x).sum())(images / np.float32(255)).shape == images.shape


@pytest.mark.parametrize(
    ('run', 'said'),
    [
        ('studnt', "has no finished run 'studnt'. Did you mean 'student'?"),
        ('studnt-s0', "has no finished run 'studnt-s0'. Did you mean 'student-s0'?"),
        ('student@bst', "a run has no checkpoint 'bst'. Did you mean 'best'?"),
        ('teacher', "run 'teacher-s0': there is no trained network 'average'."),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(run, said, chain_study):
    with pytest.raises(UserError) as error:
        kd_jax.load(chain_study, run, 'average')
    assert said in str(error.value)


def test_images_of_another_shape_are_one_sentence(chain_study):
    predict = kd_jax.load(chain_study, 'student', 'average')
    with pytest.raises(UserError, match=r"run 'student-s0', network 'average' does not take image \[2, 5\]"):
        predict(np.zeros((2, 5), np.uint8))
    with pytest.raises(UserError, match="network 'average' reads image: give a dictionary with these arrays"):
        predict({'points': np.zeros((2, 5))})


@pytest.mark.parametrize(
    ('images', 'said'),
    [
        (np.full((2, 8, 8), 200, np.int64), 'the images are integers other than uint8'),
        (np.zeros((0, 8, 8), np.uint8), r'image has shape \[0, 8, 8\]; give at least one example'),
        ([['word']], 'takes arrays of numbers'),
    ],
)
def test_integers_that_would_not_be_scaled_and_no_images_are_refused(images, said, chain_study):
    with pytest.raises(UserError, match=said):
        kd_jax.load(chain_study, 'student', 'average')(images)


def test_a_run_with_several_seeds_needs_its_seed(tmp_path):
    (tmp_path / 'results').mkdir()
    for seed in range(2):
        (tmp_path / 'results' / f'student-s{seed}.json').write_text('{}')
    with pytest.raises(UserError, match="run 'student' has 2 seeds; name one: student-s0, student-s1"):
        kd_jax.load(tmp_path, 'student')


def test_a_model_of_ones_own_is_loaded_if_it_is_allowed(chain_study, test_split, tmp_path):
    shutil.copytree(chain_study, tmp_path / 'work')
    edit_result(tmp_path / 'work', 'teacher-s0', '"mlp"', '"kd_jax.models:mlp"')
    with pytest.raises(UserError, match=r"names the model 'kd_jax.models:mlp'.*allow=\['kd_jax.models:mlp'\]"):
        kd_jax.load(tmp_path / 'work', 'teacher')
    predict = kd_jax.load(tmp_path / 'work', 'teacher', allow=['kd_jax.models:mlp'])
    expected = kd_jax.load(chain_study, 'teacher')(test_split['image'])
    np.testing.assert_array_equal(predict(test_split['image']), expected)


def test_the_package_alone_imports_no_jax():
    code = 'import sys, kd_jax; assert kd_jax.load and "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
