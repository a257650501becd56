"""Weights read from PyTorch files, without running pickled code. torch_reference/make.py made the .pth files."""

import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from kd_jax.config import ordinary_files
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


def ops(value):
    """The operations of a pickle that make a value, without its frame."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key, offset, shape, strides, dtype='FloatStorage'):
    """The operations that torch.save writes for a tensor."""
    storage = b'(' + ops('storage') + f'ctorch\n{dtype}\n'.encode() + ops(key) + ops('cpu') + ops(0) + b'tQ'
    hooks = b'ccollections\nOrderedDict\n)R'
    return (
        b'ctorch._utils\n_rebuild_tensor_v2\n('
        + storage
        + ops(offset)
        + ops(shape)
        + ops(strides)
        + b'\x89'
        + hooks
        + b'tR'
    )


def write_zip(path, state, storages=(), compression=zipfile.ZIP_STORED):
    """Writes a file like torch.save: `state` are the operations of a pickle, `storages` arrays."""
    with zipfile.ZipFile(path, 'w', compression) as file:
        file.writestr('archive/data.pkl', b'\x80\x02' + state + b'.')
        for key, array in enumerate(storages):
            file.writestr(f'archive/data/{key}', array.tobytes())
    return path


def with_peak(function):
    """The result of a call, and the most memory that it took beyond that before, in bytes."""
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_storage_is_read_once_however_many_tensors_view_it(tmp_path):
    flat, count = np.arange(2**20, dtype=np.float32), 256
    rows = b''.join(ops(f'layer{i}') + tensor('0', i * 4096, (64, 64), (64, 1)) for i in range(count))
    path = write_zip(tmp_path / 'flat.pth', b'}(' + ops('flat') + tensor('0', 0, (2**20,), (1,)) + rows + b'u', [flat])
    state, peak = with_peak(lambda: read_pytorch_file(path, 'c'))
    np.testing.assert_array_equal(state['layer255'], flat[255 * 4096 :].reshape(64, 64))
    assert len(state) == 1 + count
    assert peak < 2.5 * flat.nbytes


def test_only_storages_of_the_state_dict_are_read(tmp_path):
    names = {'model': tensor('0', 0, (2,), (1,)), 'optimizer': tensor('1', 0, (2**20,), (1,))}
    state = b'}(' + b''.join(ops(name) + b'}' + ops('w') + one + b's' for name, one in names.items()) + b'u'
    path = write_zip(tmp_path / 'both.pth', state, [np.ones(2, np.float32), np.ones(2**20, np.float32)])
    state, peak = with_peak(lambda: read_pytorch_file(path, 'c'))
    np.testing.assert_array_equal(state['w'], [1, 1])
    assert peak < 2**20


BOMBS = {
    'a memo index of 2^28': (b'}r\x00\x00\x00\x10', 'holds no state_dict'),
    'dictionaries shared 40 deep': (
        b'}q\x01' + b''.join(b'}(' + ops('model') + b'h\x01' + ops('net') + b'h\x01uq\x01' for _ in range(40)),
        'holds no state_dict',
    ),
    'a dictionary that holds itself': (b'}q\x01' + ops('model') + b'h\x01s', 'holds no state_dict'),
    'a string that claims 2^40 bytes': (b'\x8d\x00\x00\x00\x00\x00\x01\x00\x00' + b'abc', 'is damaged'),
    'an array of bytes that claims 2^34': (b'\x96\x00\x00\x00\x00\x04\x00\x00\x00', 'is damaged'),
    'a copy of a list': (b'ccollections\nOrderedDict\n]\x85R', 'is damaged'),
    'a shape of 1000 axes': (tensor('0', 0, (1,) * 1000, (1,) * 1000), 'a shape that is not a tuple of at most 32'),
    'a tensor of 2^40 equal numbers': (
        b'}' + ops('w') + tensor('0', 0, (2**40,), (0,)) + b's',
        'would take 4,398,046,511,104',
    ),
    'a tensor beyond its storage': (b'}' + ops('w') + tensor('0', 0, (2**20,), (1,)) + b's', 'larger than its storage'),
    'a tensor of negative size': (b'}' + ops('w') + tensor('0', -1, (2,), (1,)) + b's', 'negative size'),
    'nested tuples as a key': (b'})' + b'\x85' * 20_000 + b'Ns', 'a tuple as a key'),
    'attributes of a function': (b'ctorch._utils\n_rebuild_tensor\n}' + ops('a') + b'Nsb', 'holds no state_dict'),
    'a call of a call': (b'ctorch\nSize\n))RR', 'too few values|pickled code'),
    'an end before its mark': (b'0t', 'pickled code .the operation POP'),
    'nothing': (b'', 'is damaged'),
}


@pytest.mark.parametrize('kind', BOMBS)
def test_memory_and_time_are_bounded_by_the_file(kind, tmp_path):
    operations, message = BOMBS[kind]
    path = write_zip(tmp_path / 'bomb.pth', operations, [np.ones(4, np.float32)])

    def read():
        with pytest.raises(UserError, match=message):
            read_pytorch_file(path, 'c')

    assert with_peak(read)[1] < 2**24
    legacy = b''.join(pickle.dumps(v, 2) for v in (pytorch_files.LEGACY_MAGIC, 1001, {}))
    path.write_bytes(legacy + b'\x80\x02' + operations + b'.' + pickle.dumps(['0'], 2) + b'\x04' + bytes(7 + 16))
    with pytest.raises(UserError):
        read_pytorch_file(path, 'c')


def test_a_file_that_inflates_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(ordinary_files, 'UNPACKED', 2**20)
    state, zeros = b'}' + ops('w') + tensor('0', 0, (2,), (1,)) + b's', np.zeros(2**22, np.float32)
    path = write_zip(tmp_path / 'big.pth', state, [zeros], zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r'big.pth has [\d,]+ bytes and would take 16,777,216 bytes of memory'):
        read_pytorch_file(path, 'c')
    np.testing.assert_array_equal(read_pytorch_file(write_zip(path, state, [zeros]), 'c')['w'], [0, 0])
    monkeypatch.setattr(pytorch_files, 'PICKLE_BYTES', 100)
    with pytest.raises(UserError, match=r'archive/data.pkl has \d+ bytes, more than the 100 that it may have'):
        read_pytorch_file(path, 'c')


def test_a_storage_that_claims_more_than_the_file_is_refused(tmp_path):
    (tmp_path / 'old.pth').write_bytes(
        b''.join(pickle.dumps(v, 2) for v in (pytorch_files.LEGACY_MAGIC, 1001, {}))
        + b'\x80\x02}' + ops('w') + tensor('0', 0, (1,), (1,)) + b's.'
        + pickle.dumps(['0'], 2) + (2**40).to_bytes(8, 'little') + bytes(4)
    )  # fmt: skip
    with pytest.raises(UserError, match=r'is damaged .*ends inside a storage'):
        read_pytorch_file(tmp_path / 'old.pth', 'c')
    header = b'{"w": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4398046511104]}}'
    (tmp_path / 'big.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header + bytes(8))
    (tmp_path / 'header.safetensors').write_bytes((2**40).to_bytes(8, 'little') + header)
    for name in ('big', 'header'):
        with pytest.raises(UserError, match=f'{name}.safetensors cannot be read'):
            read_pytorch_file(tmp_path / f'{name}.safetensors', 'c')


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_only_an_ordinary_file_is_read(suffix, tmp_path):
    for name, kind in {'fifo': 'a FIFO', 'zero': 'a device', 'folder': 'a directory'}.items():
        path = tmp_path / f'{name}.{suffix}'
        {'fifo': os.mkfifo, 'zero': lambda at: at.symlink_to('/dev/zero'), 'folder': os.mkdir}[name](path)
        with pytest.raises(UserError, match=f'c: {path} is {kind}, not an ordinary file'):
            read_pytorch_file(path, 'c')
