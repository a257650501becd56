"""Weights read from PyTorch files, without running pickled code. torch_reference/make.py made the .pth files."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.interop import pytorch_files
from kd_jax.interop.pytorch_files import read_pytorch_file
from tests.interop.reference_weights import REFERENCE, reference_state


class Command:
    def __init__(self, touched):
        self.touched = touched

    def __reduce__(self):
        return os.system, (f'touch {self.touched}',)


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


def test_files_of_every_kind_hold_the_same_weights(expected, tmp_path):
    state = reference_state(expected, 'cifar_resnet')
    zipped, legacy, half = (read_pytorch_file(REFERENCE / f'{name}.pth', 'c') for name in ('zipped', 'legacy', 'half'))
    assert set(zipped) == set(legacy) == set(half) == set(state)
    for key, array in state.items():
        np.testing.assert_array_equal(zipped[key], array)
        np.testing.assert_array_equal(legacy[key], array)
        np.testing.assert_allclose(half[key].astype(np.float32), array, rtol=2**-8)


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
