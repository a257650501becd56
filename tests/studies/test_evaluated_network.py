"""What a finished run evaluates: which network is meant, what it reads, and its variables."""

import json
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

import kd_jax
from kd_jax.config.errors import UserError
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.studies.evaluated_network import EvaluatedNetwork, finished_run, networks_behind, one_copy, open_network
from kd_jax.studies.workdir import Workdir


def opened(path, name, checkpoint='last', run='student'):
    run_id, result = finished_run(Workdir(path), run)
    return open_network(Workdir(path), run_id, result, name, checkpoint)


@pytest.mark.parametrize(
    ('name', 'path', 'chain', 'owners'),
    [
        ('simkd', 'classifier.logits', ['student', 'projected', 'classifier'], ['student', 'projected', 'classifier']),
        ('classifier', 'classifier.logits', ['student', 'projected', 'classifier'], None),
        ('average', 'average.logits', ['average'], ['average']),
        ('second', 'reader.logits', ['pair', 'reader'], None),
    ],
)
def test_an_evaluation_or_a_network_means_what_is_measured_and_all_that_it_reads(
    name, path, chain, owners, chain_study
):
    found = opened(chain_study, name)
    assert str(found.path) == path
    assert [network.name for network in found.networks] == chain
    assert list(found.owners) == (owners or chain)
    assert found.inputs == ('image',)


def test_the_only_evaluation_needs_no_name_and_several_are_listed(chain_study):
    assert str(opened(chain_study, '', run='teacher').path) == 'teacher.logits'
    with pytest.raises(UserError, match=r'has 6 evaluations: average \(average.logits\), depth .*; name one'):
        opened(chain_study, '')
    with pytest.raises(UserError, match=r"there is no trained network 'simdk'\. Did you mean 'simkd'"):
        opened(chain_study, 'simdk')


def test_a_network_that_is_not_evaluated_gives_its_activations_alone(chain_study):
    predict = kd_jax.load(chain_study, 'student', 'student')
    images = np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(UserError, match="does not evaluate network 'student', so its logits may mean nothing; what it"):
        predict(images)
    assert predict(images, activations=True)['hidden1'].shape == (2, 4)


def test_a_frozen_network_has_the_weights_of_the_run_that_it_starts_from(chain_study):
    head = opened(chain_study, 'simkd').variables['classifier']
    teacher = opened(chain_study, '', run='teacher').variables['teacher']
    assert list(head['params']) == ['head']
    jax.tree.map(np.testing.assert_array_equal, head['params']['head'], teacher['params']['head'])


def test_a_frozen_network_may_come_from_a_pytorch_file(chain_study, tmp_path):
    shutil.copytree(chain_study, tmp_path / 'work')
    head = opened(chain_study, 'simkd').variables['classifier']['params']['head']
    file, path = tmp_path / 'head.safetensors', tmp_path / 'work' / 'results' / 'student-s0.json'
    arrays = {'head.weight': np.ascontiguousarray(head['kernel'].T), 'head.bias': np.asarray(head['bias'])}
    safetensors.numpy.save_file(arrays, file)
    result = json.loads(path.read_text())
    del result['checksum']
    result['config']['networks']['classifier']['init'] = f'torch:{file}'
    path.write_text(json.dumps(result))
    read = opened(tmp_path / 'work', 'simkd').variables['classifier']['params']['head']
    jax.tree.map(np.testing.assert_array_equal, dict(read), dict(head))
    del result['arrays']
    path.write_text(json.dumps(result))
    with pytest.raises(UserError, match='the result of the run is of an older version'):
        opened(tmp_path / 'work', 'simkd')
    result['config']['networks']['classifier'] |= {'init': 'run:teacher', 'fresh': 'head', 'part': ()}
    path.write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"network 'classifier' is frozen with random modules \(head\)"):
        opened(tmp_path / 'work', 'simkd')


@pytest.mark.parametrize('number', [0, 1])
def test_one_copy_of_a_chain_is_that_slice_of_all_copies(number, chain_study):
    found = opened(chain_study, 'second')
    alone = one_copy(found, number)
    assert [network.copies for network in alone.networks] == [0, 0]
    for name, own in alone.variables.items():
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[number]), own, found.variables[name])
    with pytest.raises(UserError, match='has no copy 2; its 2 copies are numbered from 0'):
        one_copy(found, 2)


def test_a_copy_of_a_network_that_reads_a_function_of_all_copies_is_refused():
    model = {'model': 'mlp', 'hidden': ()}
    networks = {
        'pair': {**model, 'copies': 2},
        'mean': {**model, 'input': 'pair.logits'},
        'after': {**model, 'copies': 2, 'input': ['pair.logits', 'mean.logits']},
    }
    recipe = parse_recipe({'networks': networks, 'optimizer': {'learning_rate': 0.1}})
    chain = networks_behind(recipe, 'after')
    found = EvaluatedNetwork('here', {}, 'last', None, None, chain, {n.name: n for n in chain}, {})
    with pytest.raises(UserError, match="here, network 'after' reads 'mean', which is a function of all copies"):
        one_copy(found, 0)


def test_a_directory_without_a_study_is_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    for path, said in (
        (tmp_path / 'none', 'does not exist'),
        (tmp_path, 'has no folder results'),
        (tmp_path / 'file', 'is a file'),
    ):
        with pytest.raises(UserError, match=f'{said}: give the work directory of a study that was run'):
            finished_run(Workdir(path), 'student')
