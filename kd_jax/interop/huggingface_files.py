"""Opens saved models of Hugging Face: config.json and .safetensors files in a directory or in a .zip file."""

import contextlib
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.json_files import JSON_BYTES, parse_json
from kd_jax.config.ordinary_files import check_unpacked, inside, open_ordinary, read_text, size_of
from kd_jax.interop.language_weights import SavedTensors

CONFIG, WEIGHTS, INDEX = 'config.json', 'model.safetensors', 'model.safetensors.index.json'
TYPES = {
    'F64': np.float64, 'F32': np.float32, 'F16': np.float16, 'BF16': jnp.bfloat16, 'I64': np.int64, 'I32': np.int32,
    'I16': np.int16, 'I8': np.int8, 'U8': np.uint8, 'BOOL': np.bool_,
}  # fmt: skip
DAMAGE = (  # what a damaged .zip file can raise
    OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
    safetensors.SafetensorError,
)  # fmt: skip


def open_saved_model(path: str, where: str, opened: contextlib.ExitStack) -> tuple[dict[str, Any], SavedTensors]:
    """Opens a saved model.

    Args:
      path: a directory with config.json, and with model.safetensors or an index and its files; or a .zip file with
        config.json and model.safetensors, which is read whole.
      where: the place in the config, for messages.
      opened: closes the files of a directory; tensors are read before.
    Returns:
      what config.json holds, and the tensors.
    Raises:
      UserError: a file is missing or damaged.
    """
    place = pathlib.Path(path)
    if place.suffix == '.zip':
        return _of_zip(place, where)
    config = _read_json(place / CONFIG, where)
    tensors = dict(_tensors(place, where, opened))
    slices = {name: file.get_slice(name) for name, file in tensors.items()}
    for name, one in slices.items():
        _check_type(name, one.get_dtype(), f'{where}: {path}')
    shapes = {name: tuple(one.get_shape()) for name, one in slices.items()}

    def read(name: str) -> np.ndarray:
        return np.asarray(tensors[name].get_tensor(name), np.float32)

    return config, SavedTensors(path, shapes, read)


def _of_zip(path: pathlib.Path, where: str) -> tuple[dict[str, Any], SavedTensors]:
    try:
        with open_ordinary(path) as file, zipfile.ZipFile(file) as archive:
            check_unpacked(path, size_of(file), sum(archive.getinfo(name).file_size for name in (CONFIG, WEIGHTS)))
            config = _parsed(archive.read(CONFIG).decode('utf-8'), f'{path}/{CONFIG}')
            content = safetensors.deserialize(archive.read(WEIGHTS))
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    except KeyError as error:
        raise UserError(f'{where}: {path} has no {CONFIG} or no {WEIGHTS} in it; load it down again.') from error
    except FileNotFoundError as error:
        raise UserError(f'{where}: {path} is missing; load it down again.') from error
    except DAMAGE as error:
        raise UserError(f'{where}: {path} cannot be read ({first_line(error)}); load it down again.') from error
    for name, tensor in content:
        _check_type(name, tensor['dtype'], f'{where}: {path}')
    tensors = {
        name: np.frombuffer(tensor['data'], TYPES[tensor['dtype']]).reshape(tensor['shape']) for name, tensor in content
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return config, SavedTensors(str(path), shapes, lambda name: np.asarray(tensors[name], np.float32))


def _check_type(name: str, kind: str, where: str) -> None:
    if kind not in TYPES:
        raise UserError(f'{where} has the tensor {name} of type {kind}; known: {", ".join(TYPES)}.')


def _read_json(path: pathlib.Path, where: str) -> dict[str, Any]:
    try:
        return _parsed(read_text(path, JSON_BYTES), str(path))
    except UserError as error:
        raise UserError(f'{where}: {error}') from error


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UserError(f'{path} is not JSON ({first_line(error)}).') from error
    if not isinstance(value, dict):
        raise UserError(f'{path} holds no dictionary.')
    return value


def _tensors(directory: pathlib.Path, where: str, opened: contextlib.ExitStack) -> Iterator[tuple[str, Any]]:
    """The name of each tensor, and the open file that holds it."""
    if (directory / WEIGHTS).exists() or not (directory / INDEX).exists():
        file = _open(directory, WEIGHTS, where, opened)
        yield from ((name, file) for name in file.keys())  # noqa: SIM118
        return
    index = _read_json(directory / INDEX, where).get('weight_map')
    if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
        raise UserError(f'{where}: {directory / INDEX} says not in which file each tensor is.')
    files = {name: _open(directory, name, where, opened) for name in sorted(set(index.values()))}
    held = {name: set(file.keys()) for name, file in files.items()}
    for tensor, name in index.items():
        if tensor not in held[name]:
            raise UserError(f'{where}: {directory / name} has no {tensor}, although {INDEX} says so.')
        yield tensor, files[name]


def _open(directory: pathlib.Path, name: str, where: str, opened: contextlib.ExitStack) -> Any:
    path = directory / name
    try:
        inside(directory, name)
        open_ordinary(path).close()
        return opened.enter_context(safetensors.safe_open(path, 'numpy'))
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    except (OSError, safetensors.SafetensorError) as error:
        missing = isinstance(error, FileNotFoundError)
        what = 'is missing' if missing else f'cannot be read ({first_line(error)})'
        raise UserError(f'{where}: {path} {what}; load the directory down again.') from error
