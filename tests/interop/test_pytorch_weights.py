"""Weights from PyTorch files. torch_reference/make.py made expected.npz and the .pth files with PyTorch."""

import io
import json
import os
import pathlib
import pickle
import runpy
import zipfile

import jax
import numpy as np
import pytest
import safetensors.numpy

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.interop import pytorch_files, pytorch_weights
from kd_jax.interop.pytorch_files import read_pytorch_file
from kd_jax.interop.pytorch_weights import load_pytorch_weights
from kd_jax.models.resnet import ResNet
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.studies.execute import execute_group
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir

REFERENCE = pathlib.Path(__file__).parents[1] / 'torch_reference'
FORMULA = runpy.run_path(str(REFERENCE / 'formula.py'))
SMALL = {'model': 'cifar_resnet', 'depth': 14, 'channels': (4, 4, 6, 8), 'num_classes': 5}
LARGE = {'units': (1, 2, 1, 1), 'channels': (4, 4, 6, 8, 8), 'num_classes': 5, 'large_images': True}
MODULES = {
    'cifar_resnet': (models.cifar_resnet(depth=14, channels=(4, 4, 6, 8), num_classes=5), 16),
    'wide_resnet': (models.wide_resnet(depth=16, width=1, num_classes=5), 16),
    'vgg': (models.vgg(depth=13, num_classes=5), 16),
    'resnet_basic': (ResNet(**LARGE), 64),
    'resnet_bottleneck': (ResNet(**LARGE, bottleneck=True), 64),
}


@pytest.fixture(scope='module')
def expected():
    with np.load(REFERENCE / 'expected.npz') as file:
        return {name: file[name] for name in file.files}


def reference_state(expected, name):
    """The state_dict that the network had in PyTorch, with its keys there."""
    shapes = json.loads(str(expected[f'{name}/shapes']))
    return {key: FORMULA['array'](key, tuple(shape)) if shape else np.int64(7) for key, shape in shapes.items()}


def network_of(**options):
    options = {key: value for key, value in {**SMALL, 'update': 'frozen', **options}.items() if value is not None}
    return parse_recipe({'networks': {'teacher': options}, 'terms': {}}).networks[0]


def shapes_of(module, size=16):
    return jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, size, size, 3), np.float32))


def loaded(path, **options):
    network = network_of(**options)
    return load_pytorch_weights(network, str(path), shapes_of(network.module), "c, network 'teacher'")


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


def test_files_of_every_kind_hold_the_same_weights(expected, tmp_path):
    state = reference_state(expected, 'cifar_resnet')
    zipped, legacy, half = (read_pytorch_file(REFERENCE / f'{name}.pth', 'c') for name in ('zipped', 'legacy', 'half'))
    assert set(zipped) == set(legacy) == set(half) == set(state)
    for key, array in state.items():
        np.testing.assert_array_equal(zipped[key], array)
        np.testing.assert_array_equal(legacy[key], array)
        np.testing.assert_allclose(half[key].astype(np.float32), array, rtol=2**-8)


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


class Command:
    def __init__(self, touched):
        self.touched = touched

    def __reduce__(self):
        return os.system, (f'touch {self.touched}',)


@pytest.mark.parametrize('legacy', [False, True])
def test_pickled_code_is_refused_and_not_run(legacy, tmp_path):
    path, touched = tmp_path / 'bad.pth', tmp_path / 'touched'
    value = {'model': Command(touched)}
    if legacy:
        path.write_bytes(b''.join(pickle.dumps(v, 2) for v in (pytorch_files.LEGACY_MAGIC, 1001, {}, value, [])))
    else:
        with zipfile.ZipFile(path, 'w') as file:
            file.writestr('bad/data.pkl', pickle.dumps(value, 2))
    with pytest.raises(UserError, match=r'bad.pth holds pickled code \(\w+.system\), which is never run'):
        read_pytorch_file(path, 'c')
    assert not touched.exists()


def test_even_harmless_classes_are_refused():
    with pytest.raises(
        UserError, match=r'pickled code \(argparse.Namespace\).*torch.save\(model.state_dict\(\), path\)'
    ):
        read_pytorch_file(REFERENCE / 'with_code.pth', 'c')


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


def damaged(kind):
    whole = (REFERENCE / 'zipped.pth').read_bytes()
    if kind == 'text':
        return b'<!DOCTYPE html>'
    if kind == 'cut zip':
        return whole[: len(whole) // 2]
    if kind == 'cut legacy':
        return (REFERENCE / 'legacy.pth').read_bytes()[:-100]
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(buffer, 'w') as new:
        for name in old.namelist():
            content = old.read(name)
            if kind == 'other zip':
                new.writestr(name.replace('data.pkl', 'readme'), content)
            else:  # The tensors now reach beyond their storages.
                new.writestr(name, content[:4] if '/data/' in name else content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('text', 'cannot be read .neither a zip file nor a pickle from torch.save'),
        ('cut zip', 'cannot be read|is damaged'),
        ('cut legacy', 'is damaged'),
        ('other zip', 'cannot be read .a zip file, but not from torch.save'),
        ('short storages', 'is damaged .*larger than its storage'),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(kind, message, tmp_path):
    path = tmp_path / 'weights.pth'
    path.write_bytes(damaged(kind))
    with pytest.raises(UserError, match=message) as error:
        read_pytorch_file(path, 'c')
    assert '\n' not in str(error.value)


def test_a_file_without_weights_or_no_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'there is no file .*missing.pth'):
        read_pytorch_file(tmp_path / 'missing.pth', 'c')
    path = tmp_path / 'empty.pth'
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('x/data.pkl', pickle.dumps({'epoch': 3}, 2))
    with pytest.raises(
        UserError, match='holds no state_dict, neither at the top level nor under one of model, state_dict'
    ):
        read_pytorch_file(path, 'c')
    (tmp_path / 'bad.safetensors').write_bytes(b'12345678901234567890')
    with pytest.raises(UserError, match='cannot be read'):
        read_pytorch_file(tmp_path / 'bad.safetensors', 'c')


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
