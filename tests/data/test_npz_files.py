"""Arrays out of files that may come from elsewhere."""

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from kd_jax.config import ordinary_files
from kd_jax.config.errors import UserError
from kd_jax.data.npz_files import read_npz


def everything(name):
    return True


def with_header(tmp_path, header, data=b'\0' * 8, version=b'\1\0'):
    """A .npz file whose array `a` has this header."""
    text = header.encode().ljust(118) + b'\n'
    with zipfile.ZipFile(tmp_path / 'own.npz', 'w') as file:
        file.writestr('a.npy', b'\x93NUMPY' + version + len(text).to_bytes(2, 'little') + text + data)
    return tmp_path / 'own.npz'


def test_arrays_are_read_as_numpy_reads_them(tmp_path):
    arrays = {
        'c': np.arange(6.0).reshape(2, 3), 'fortran': np.asfortranarray(np.arange(6).reshape(2, 3)),
        'one': np.float32(3), 'empty': np.zeros((0, 3)), 'big': np.arange(3, dtype='>i4'), 'b': np.array([True, False]),
    }  # fmt: skip
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / 'own.npz', **arrays)
        found, unread = read_npz(tmp_path / 'own.npz', lambda name: name != 'b')
        assert unread == ['b']
        with np.load(tmp_path / 'own.npz') as file:
            for name in found.keys() | (arrays.keys() - {'b'}):
                np.testing.assert_array_equal(found[name], file[name], strict=True)
                assert found[name].flags.writeable


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}",
            r'not those of float32\[1099511627776\]',
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -1)}", 'not those of'),
        ("{'descr': '|V0', 'fortran_order': False, 'shape': (1099511627776,)}", 'not those of'),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 0)}", 'not those of'),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 'array a holds Python objects'),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': " + '(' * 50, 'array a has a damaged header'),
        ('__import__("os").system("touch ran")', 'array a has a damaged header'),
    ],
)
def test_a_header_that_claims_something_else_than_the_file_holds_is_refused(tmp_path, header, message):
    with pytest.raises(ValueError, match=message):
        read_npz(with_header(tmp_path, header), everything)


def test_a_header_of_another_version_or_compression_is_refused(tmp_path):
    good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"
    assert read_npz(with_header(tmp_path, good), everything)[0]['a'].shape == (2,)
    with pytest.raises(ValueError, match=r'version 3.0 of the format'):
        read_npz(with_header(tmp_path, good, version=b'\3\0'), everything)
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    with zipfile.ZipFile(tmp_path / 'own.npz', 'w', zipfile.ZIP_LZMA) as archive:
        archive.writestr('a.npy', file.getvalue())
    with pytest.raises(ValueError, match='compressed in another way'):
        read_npz(tmp_path / 'own.npz', everything)


def test_a_file_that_inflates_is_refused_unless_only_other_arrays_do(tmp_path, monkeypatch):
    monkeypatch.setattr(ordinary_files, 'UNPACKED', 2**20)
    path = tmp_path / 'own.npz'
    np.savez_compressed(path, big=np.zeros(2**24, np.uint8), small=np.ones(3))
    tracemalloc.start()
    with pytest.raises(UserError, match=r'own.npz has [\d,]+ bytes and would take 16,777,\d+ bytes of memory'):
        read_npz(path, everything)
    assert read_npz(path, lambda name: name == 'small')[0]['small'].shape == (3,)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    np.savez(path, big=np.zeros(2**24, np.uint8))
    assert len(read_npz(path, everything)[0]['big']) == 2**24


def test_only_ordinary_files_are_read(tmp_path):
    os.mkfifo(tmp_path / 'fifo.npz')
    (tmp_path / 'zero.npz').symlink_to('/dev/zero')
    for name, kind in {'fifo': 'a FIFO', 'zero': 'a device'}.items():
        with pytest.raises(UserError, match=f'{name}.npz is {kind}'):
            read_npz(tmp_path / f'{name}.npz', everything)
