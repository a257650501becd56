import contextlib
import pathlib
import struct
import zipfile

import numpy as np
import pytest

from kd_jax.config import ordinary_files
from kd_jax.config.errors import UserError
from kd_jax.interop.huggingface_files import open_saved_model

REFERENCE = pathlib.Path(__file__).parents[1] / 'transformers_reference'
FILES = ('config.json', 'model.safetensors')


def opened(path):
    """The config and all tensors of a saved model."""
    with contextlib.ExitStack() as stack:
        config, saved = open_saved_model(str(path), "c, network 'teacher'", stack)
        tensors = {name: saved.read(name) for name in saved.shapes}
    assert {name: tensor.shape for name, tensor in tensors.items()} == dict(saved.shapes)
    return config, tensors


@pytest.fixture
def zipped(tmp_path):
    """A function that writes a .zip file of the model 'smollm2', with other contents of its files."""

    def write(**changed):
        path = tmp_path / 'model.zip'
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            for name in FILES:
                content = changed.get(name.split('.')[-1], (REFERENCE / 'smollm2' / name).read_bytes())
                if content is not None:
                    archive.writestr(name, content)
        return path

    return write


def test_a_zip_file_and_its_directory_hold_the_same(zipped):
    (config, tensors), (there, expected) = opened(zipped()), opened(REFERENCE / 'smollm2')
    assert config == there
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32  # bfloat16 in the file
        np.testing.assert_array_equal(tensor, expected[name])


def header(text, size=None, data=b''):
    """A .safetensors file with a header, which may claim another size."""
    return struct.pack('<Q', len(text) if size is None else size) + text.encode() + data


@pytest.mark.parametrize(
    'content',
    [
        b'',
        header('{}', 2**60),
        header('{}', 2**63),
        header('{'),
        header('[]'),
        header('{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'),
        header('{"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}', data=bytes(16)),
        header('{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1152921504606846976]}}', data=bytes(16)),
        header('{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 16]}}', data=bytes(16)),
        header('{"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}', data=bytes(16)),
        header('{"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}', data=bytes(16)),
        header(
            '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
            ' "b": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}}',
            data=bytes(24),
        ),
    ],
)
def test_what_the_header_of_tensors_claims_is_not_believed(tmp_path, zipped, content):
    (tmp_path / 'config.json').write_text('{}')
    (tmp_path / 'model.safetensors').write_bytes(content)
    with pytest.raises(
        UserError, match=r"c, network 'teacher': .*model\.safetensors cannot be read \(.*; load the dir"
    ):
        opened(tmp_path)
    with pytest.raises(UserError, match=r"c, network 'teacher': .*model\.zip cannot be read"):
        opened(zipped(safetensors=content))


@pytest.mark.parametrize('kind', ['F8_E4M3', 'F4'])
def test_a_type_of_tensors_that_numpy_lacks_is_one_sentence(tmp_path, kind):
    (tmp_path / 'config.json').write_text('{}')
    text = f'{{"a": {{"dtype": "{kind}", "shape": [4], "data_offsets": [0, {4 if kind[1] == "8" else 2}]}}}}'
    (tmp_path / 'model.safetensors').write_bytes(header(text, data=bytes(4 if kind[1] == '8' else 2)))
    with pytest.raises(UserError, match=rf"c, network 'teacher': .* has the tensor a of type {kind}; known: F64, F32"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ('index', 'says'),
    [
        ('{"weight_map": {"a": "b.safetensors"}}', r'b\.safetensors is missing; load the directory down again'),
        ('{"weight_map": {"a": "../b.safetensors"}}', r"'\.\./b\.safetensors' cannot be the name of a file in"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "'/etc/passwd' cannot be the name of a file in"),
        ('{"weight_map": {"a": ""}}', "'' cannot be the name of a file in"),
        ('{"weight_map": {"a": 3}}', 'says not in which file each tensor is'),
        ('{"weight_map": ["a"]}', 'says not in which file each tensor is'),
        ('{}', 'says not in which file each tensor is'),
        ('[]', 'holds no dictionary'),
        ('{"weight_map": {}', 'is not JSON'),
    ],
)
def test_an_index_names_files_of_its_own_directory(tmp_path, index, says):
    (tmp_path / 'config.json').write_text('{}')
    (tmp_path / 'model.safetensors.index.json').write_text(index)
    with pytest.raises(UserError, match=f"^c, network 'teacher': .*{says}"):
        opened(tmp_path)


def test_tensors_of_several_files_are_found_by_their_index():
    _, tensors = opened(REFERENCE / 'llama3')
    assert len(tensors) == 3 + 2 * 9  # embedding, norm and head; four of attention, three of the MLP, two norms a layer


@pytest.mark.parametrize(
    ('changed', 'sentence'),
    [
        (
            dict(json=None),
            r"c, network 'teacher': .*model\.zip has no config\.json or no model\.safetensors in it; load",
        ),
        (dict(json=b'['), r'model\.zip/config\.json is not JSON'),
        (dict(json=b'[]'), r'model\.zip/config\.json holds no dictionary'),
        (dict(json=b'{"a": "\xff"}'), r'model\.zip cannot be read'),
        (dict(safetensors=b'123'), r'model\.zip cannot be read'),
    ],
)
def test_a_zip_file_that_is_incomplete_or_damaged_is_one_sentence(zipped, changed, sentence):
    with pytest.raises(UserError, match=sentence):
        opened(zipped(**changed))


def test_a_zip_file_that_is_truncated_or_missing_is_one_sentence(zipped):
    path = zipped()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r'model\.zip cannot be read \(File is not a zip file\); load it down again'):
        opened(path)
    path.unlink()
    with pytest.raises(UserError, match=r'model\.zip is missing; load it down again'):
        opened(path)


def test_a_zip_file_that_would_fill_the_memory_is_refused(zipped, monkeypatch):
    monkeypatch.setattr(ordinary_files, 'UNPACKED', 1000)
    with pytest.raises(UserError, match=r'model\.zip has .* bytes and would take 2,09\d,\d+ bytes of memory, too many'):
        opened(zipped(safetensors=bytes(2**21)))
