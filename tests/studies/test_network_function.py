"""Tests of `kd_jax.load`: the function of a finished run's network predicts what the study measured."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import kd_jax
from kd_jax.config.errors import UserError
from kd_jax.data.sources import mnist
from kd_jax.studies.execute import execute_group
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

MODEL = {'model': 'mlp', 'hidden': (16,)}


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A finished study. The learning rate jumps after 60%, so that the best evaluation is not the last."""
    path = tmp_path_factory.mktemp('work')
    (path / 'results').mkdir()
    rate = {'schedule': 'steps', 'start': 0.05, 'at': (0.6,), 'factor': 400.0}
    run = {
        'data': {'source': 'mnist', 'examples': 200, 'valid': 100},
        'batch_size': 20,
        'epochs': 1,
        'eval_every': 0.25,
        'networks': {
            'student': MODEL,
            'pair': {**MODEL, 'copies': 2},
            'reader': {'model': 'mlp', 'hidden': (), 'input': 'student.hidden1'},
        },
        'terms': {
            name: {'loss': 'cross_entropy', 'logits': f'{name}.logits', 'labels': 'batch.label'}
            for name in ('student', 'pair', 'reader')
        },
        'optimizer': {'learning_rate': rate},
    }
    planned = parse_study({'name': 'small', 'runs': {'student': run}}, 'here')
    prepare_study(planned)
    execute_group(planned, planned.runs, Workdir(path), lambda *_: None)
    return path


@pytest.mark.parametrize(('run', 'row'), [('student-s0', 'last'), ('student', 'last'), ('student-s0@best', 'best')])
def test_predictions_make_the_errors_of_the_result(run, row, work):
    result, test = Workdir(work).result('student-s0'), mnist().test
    assert result['best']['step'] < result['last']['step']
    for name in ('student', 'pair', 'reader'):
        logits = kd_jax.load(work, run, name)(test['image'])
        errors = (np.argmax(logits, -1) != test['label']).sum() / (2 if name == 'pair' else 1)
        assert errors == result[row]['test'][name]['errors']


def test_any_batch_size_and_floats_give_the_same_logits_and_all_activations_are_there(work):
    images = mnist().test['image'][:7]
    predict = kd_jax.load(str(work), 'student', 'student')
    logits = predict(images)
    np.testing.assert_allclose(predict(images[:1]), logits[:1], rtol=1e-5)
    np.testing.assert_allclose(predict(images / np.float32(255)), logits, rtol=1e-5)
    np.testing.assert_allclose(predict({'image': images}), logits)
    found = predict(images, activations=True)
    assert found['hidden1'].shape == (7, 16)
    np.testing.assert_array_equal(found['logits'], logits)
    assert jax.grad(lambda x: predict(x).sum())(images / np.float32(255)).shape == images.shape


@pytest.mark.parametrize(
    ('run', 'network', 'said'),
    [
        ('studnt', 'student', "has no finished run 'studnt'. Did you mean 'student'?"),
        ('studnt-s0', 'student', "has no finished run 'studnt-s0'. Did you mean 'student-s0'?"),
        ('student@bst', 'student', "a run has no checkpoint 'bst'. Did you mean 'best'?"),
        ('student', 'studnt', "run 'student-s0': there is no trained network 'studnt'. Did you mean 'student'?"),
        ('student', '', "run 'student-s0': choose one of the 3 trained networks. Known: pair, reader, student"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(run, network, said, work):
    with pytest.raises(UserError) as error:
        kd_jax.load(work, run, network)
    assert said in str(error.value)


def test_images_of_another_shape_are_one_sentence(work):
    predict = kd_jax.load(work, 'student', 'student')
    with pytest.raises(UserError, match=r"run 'student-s0', network 'student' does not take image \[2, 5\]"):
        predict(np.zeros((2, 5), np.uint8))
    with pytest.raises(UserError, match="network 'student' reads image: give a dictionary with these arrays"):
        predict({'points': np.zeros((2, 5))})


def test_a_run_with_several_seeds_needs_its_seed(tmp_path):
    (tmp_path / 'results').mkdir()
    for seed in range(2):
        (tmp_path / 'results' / f'student-s{seed}.json').write_text(json.dumps({}))
    with pytest.raises(UserError, match="run 'student' has 2 seeds; name one: student-s0, student-s1"):
        kd_jax.load(tmp_path, 'student')


def test_a_network_that_reads_a_frozen_one_is_refused(tmp_path):
    (tmp_path / 'results').mkdir()
    config = {
        'networks': {
            'teacher': {**MODEL, 'update': 'frozen', 'init': 'run:teacher'},
            'reader': {**MODEL, 'input': 'teacher.hidden1'},
        },
        'optimizer': {'learning_rate': 0.1},
    }
    result = {'config': config, 'run': 'reader', 'seed': 0}
    (tmp_path / 'results' / 'reader-s0.json').write_text(json.dumps(result))
    with pytest.raises(UserError, match="network 'reader' reads 'teacher', which is frozen, so its weights are not in"):
        kd_jax.load(tmp_path, 'reader')


def test_the_package_alone_imports_no_jax():
    code = 'import sys, kd_jax; assert kd_jax.load and "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


def test_a_model_of_ones_own_is_loaded_if_it_is_allowed(work, tmp_path):
    shutil.copytree(work, tmp_path / 'work')
    path = tmp_path / 'work' / 'results' / 'student-s0.json'
    path.write_text(path.read_text().replace('"mlp"', '"kd_jax.models:mlp"'))
    with pytest.raises(UserError, match=r"names the model 'kd_jax.models:mlp'.*allow=\['kd_jax.models:mlp'\]"):
        kd_jax.load(tmp_path / 'work', 'student', 'student')
    predict = kd_jax.load(tmp_path / 'work', 'student', 'student', allow=['kd_jax.models:mlp'])
    images = mnist().test['image'][:3]
    np.testing.assert_array_equal(predict(images), kd_jax.load(work, 'student', 'student')(images))
