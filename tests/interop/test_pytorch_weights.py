"""Weights from PyTorch in our models. torch_reference/make.py made expected.npz and the .pth files with PyTorch."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.interop import pytorch_weights
from kd_jax.interop.pytorch_weights import load_pytorch_weights, to_torch
from kd_jax.models.resnet import ResNet
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.studies.execute import execute_group
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir
from tests.interop.reference_weights import FORMULA, REFERENCE, reference_state

SMALL = {'model': 'cifar_resnet', 'depth': 14, 'channels': (4, 4, 6, 8), 'num_classes': 5}
LARGE = {'units': (1, 2, 1, 1), 'channels': (4, 4, 6, 8, 8), 'num_classes': 5, 'large_images': True}
MODULES = {
    'cifar_resnet': (models.cifar_resnet(depth=14, channels=(4, 4, 6, 8), num_classes=5), 16),
    'wide_resnet': (models.wide_resnet(depth=16, width=1, num_classes=5), 16),
    'vgg': (models.vgg(depth=13, num_classes=5), 16),
    'resnet_basic': (ResNet(**LARGE), 64),
    'resnet_bottleneck': (ResNet(**LARGE, bottleneck=True), 64),
}


def network_of(**options):
    options = {**SMALL, 'update': 'frozen', 'init': 'torch:some.pth', **options}
    options = {key: value for key, value in options.items() if value is not None}
    return parse_recipe({'networks': {'teacher': options}, 'terms': {}}).networks[0]


def shapes_of(module, size=16):
    return jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, size, size, 3), np.float32))


def loaded(path, **options):
    network = network_of(**options)
    return load_pytorch_weights(network, str(path), shapes_of(network.module), "c, network 'teacher'")


def study_of(tmp_path, file, images, labels):
    np.savez(tmp_path / 'd.npz', train_image=images, train_label=labels, test_image=images, test_label=labels)
    teacher = {**SMALL, 'update': 'frozen', 'init': f'torch:{file}', 'normalize': {'mean': 0.5, 'std': 0.25}}
    run = {
        'data': {'source': 'npz', 'path': str(tmp_path / 'd.npz'), 'num_classes': 5},
        'batch_size': 2,
        'epochs': 0,
        'networks': {'teacher': teacher},
        'evaluate': {'teacher': {'logits': 'teacher.logits'}},
    }
    return parse_study({'name': 'measured', 'runs': {'measured': run}}, 'here')


@pytest.mark.parametrize('name', MODULES)
def test_a_network_with_weights_of_pytorch_gives_what_it_gave_there(name, expected, tmp_path):
    module, size = MODULES[name]
    state = {key: np.asarray(array) for key, array in reference_state(expected, name).items()}
    safetensors.numpy.save_file(state, tmp_path / 'weights.safetensors')
    network = Network('teacher', module, ())
    variables = load_pytorch_weights(network, str(tmp_path / 'weights.safetensors'), shapes_of(module, size), 'c')
    out = jax.device_get(jax.jit(module.apply)(variables, FORMULA['image'](size)))
    compared = {key: array for key, array in expected.items() if key.startswith(f'{name}/') and 'shapes' not in key}
    assert len(compared) >= 16
    for key, array in compared.items():
        _, activation, *reduced = key.split('/')
        ours = out[activation]
        if reduced:
            ours = ours.mean((1, 2)) if reduced == ['space'] else ours[0].mean(-1)
        np.testing.assert_allclose(ours, array, rtol=2e-4, atol=2e-4 * np.abs(array).max(), err_msg=key)


@pytest.mark.parametrize('name', MODULES)
def test_variables_go_to_pytorch_under_its_keys_and_come_back(name, expected):
    module, size = MODULES[name]
    shapes = shapes_of(module, size)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), shapes)
    state = pytorch_weights.to_torch(module, variables)
    there = {key: tuple(shape) for key, shape in json.loads(str(expected[f'{name}/shapes'])).items() if shape}
    assert {key: array.shape for key, array in state.items()} == there
    jax.tree.map(np.testing.assert_array_equal, pytorch_weights.from_torch(module, state, shapes), variables)


def test_weights_come_in_the_dtype_of_the_model():
    assert {a.dtype for a in jax.tree.leaves(loaded(REFERENCE / 'half.pth'))} == {np.dtype(np.float32)}


def test_a_model_without_names_of_its_own_in_pytorch_has_those_it_has_here():
    module = models.mlp(hidden=(3,), num_classes=2)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda a: rng.normal(size=a.shape), shapes_of(module))
    state = pytorch_weights.to_torch(module, variables)
    assert set(state) == {'dense1.weight', 'dense1.bias', 'head.weight', 'head.bias'}
    np.testing.assert_array_equal(state['head.weight'], variables['params']['head']['kernel'].T)


def test_fresh_modules_need_not_fit():
    whole = loaded(REFERENCE / 'zipped.pth')
    body = loaded(REFERENCE / 'zipped.pth', num_classes=7, fresh='head')
    assert 'head' in whole['params']
    assert 'head' not in body['params']
    jax.tree.map(
        np.testing.assert_array_equal, body['params'], {k: v for k, v in whole['params'].items() if k != 'head'}
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'depth': 8},
            r'has keys layer1.1.bn1.bias, layer1.1.bn1.running_mean, .* and \d+ more that this model does not have',
        ),
        ({'depth': 20}, 'has no layer1.2.bn1.bias, .* and .* more; choose the model that the file was saved from'),
        ({'model': 'cnn', 'channels': (4,), 'depth': None}, 'has keys bn1.bias, .* and no conv1.bias, head.bias'),
        (
            {'num_classes': 7},
            r'does not fit .*zipped.pth: fc.bias has shape \(5,\) in the file, \(7,\) in this model',
        ),
        ({'copies': 2}, 'holds one network'),
        ({'fresh': 'haed'}, "has no module 'haed' to start fresh. Did you mean 'head'"),
    ],
)
def test_a_file_of_another_network_is_refused_with_what_differs(options, message):
    with pytest.raises(UserError, match=message) as error:
        loaded(REFERENCE / 'zipped.pth', **options)
    assert str(error.value).startswith("c, network 'teacher'")


def test_a_run_starts_from_a_pytorch_file_with_a_normalisation_of_its_own(expected, tmp_path):
    logits, labels = expected['cifar_resnet/logits'].astype(np.float64), np.array([1, 3], np.int32)
    planned = study_of(tmp_path, REFERENCE / 'zipped.pth', 0.25 * FORMULA['image'](16) + 0.5, labels)
    prepare_study(planned)
    (tmp_path / 'results').mkdir()
    results = execute_group(planned, planned.runs, Workdir(tmp_path), lambda *_: None)
    nll = np.mean(np.log(np.sum(np.exp(logits), -1)) - logits[[0, 1], labels])
    np.testing.assert_allclose(results[0]['last']['test']['teacher']['nll'], nll, rtol=1e-3)


def test_a_pytorch_file_that_does_not_fit_is_refused_when_a_study_is_planned(tmp_path):
    planned = study_of(tmp_path, REFERENCE / 'with_code.pth', FORMULA['image'](16), np.array([1, 3], np.int32))
    with pytest.raises(UserError, match=r"run 'measured', network 'teacher': .*with_code.pth holds pickled code"):
        prepare_study(planned)


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e39])
def test_weights_that_are_not_finite_in_float32_are_refused_by_their_name_in_the_file(value, tmp_path):
    module = network_of().module
    state = to_torch(module, jax.tree.map(lambda a: np.ones(a.shape), shapes_of(module)))
    state['fc.bias'] = np.array([0.0, value, 0.0, 0.0, value])
    file = tmp_path / 'weights.safetensors'
    safetensors.numpy.save_file({key: np.ascontiguousarray(array) for key, array in state.items()}, file)
    with pytest.raises(UserError) as caught:
        loaded(file)
    assert str(caught.value) == (
        f"c, network 'teacher': 2 of the 5 values of fc.bias in {file} are NaN or infinite; take other weights."
    )
