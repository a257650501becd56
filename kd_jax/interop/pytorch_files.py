"""Reads PyTorch's weight files without PyTorch and without running code from them."""

import collections
import io
import math
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from kd_jax.config.errors import UserError, first_line

Arrays = dict[str, np.ndarray]
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STATE_KEYS = ('model', 'state_dict', 'model_state_dict', 'net', 'weights')


STORAGES = {
    'DoubleStorage': np.float64, 'FloatStorage': np.float32, 'HalfStorage': np.float16,
    'BFloat16Storage': ml_dtypes.bfloat16, 'LongStorage': np.int64, 'IntStorage': np.int32, 'ShortStorage': np.int16,
    'CharStorage': np.int8, 'ByteStorage': np.uint8, 'BoolStorage': np.bool_,
}  # fmt: skip


def read_pytorch_file(path: str | pathlib.Path, where: str) -> Arrays:
    """Reads the state_dict of a file: name -> array.

    A prefix 'module.' before every name, as DataParallel adds it, is removed. If a .pth file holds more than a
    state_dict, the state_dict is looked for under 'model', 'state_dict', 'model_state_dict', 'net' and 'weights'.

    Args:
      path: path of a .safetensors, .pth or .pt file.
      where: place in the config, for messages.
    Raises:
      UserError: the file is missing, damaged, of another format, or holds pickled code or no tensors.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f'{where}: there is no file {path}.')
    try:
        if path.suffix == '.safetensors':
            state: Any = safetensors.numpy.load_file(path)
        else:
            state = _state_dict(_from_zip(path) if zipfile.is_zipfile(path) else _from_legacy(path))
    except _Refused as error:
        raise UserError(
            f'{where}: {path} holds pickled code ({error}), which is never run; save only the weights with '
            'torch.save(model.state_dict(), path), or save a .safetensors file.'
        ) from error
    except (safetensors.SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, OSError) as error:
        raise UserError(f'{where}: {path} cannot be read ({first_line(error)}).') from error
    except Exception as error:  # A damaged pickle can raise anything.
        raise UserError(f'{where}: {path} is damaged ({type(error).__name__}: {first_line(error)}).') from error
    if not state:
        keys = ', '.join(STATE_KEYS)
        raise UserError(f'{where}: {path} holds no state_dict, neither at the top level nor under one of {keys}.')
    if all(name.startswith('module.') for name in state):
        state = {name.removeprefix('module.'): array for name, array in state.items()}
    return state


class _Refused(Exception):
    """A pickle names something that is not part of a tensor."""


class _Tensor(NamedTuple):
    """Describes a tensor: key and dtype of its storage; offset, shape and strides in elements."""

    key: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: tuple[str, np.dtype], offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    key, dtype = storage
    return _Tensor(key, dtype, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _parameter(data: _Tensor, *_: Any) -> _Tensor:
    return data


ALLOWED: dict[tuple[str, str], Any] = {
    ('collections', 'OrderedDict'): collections.OrderedDict,
    ('torch', 'Size'): tuple,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch._utils', '_rebuild_tensor'): _tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    **{('torch', name): np.dtype(dtype) for name, dtype in STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _Refused(f'{module}.{name}')
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        kind, dtype, key = pid[:3]
        if kind != 'storage' or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError('a persistent object that is not a storage')
        return str(key), dtype


def _from_zip(path: pathlib.Path) -> Any:
    with zipfile.ZipFile(path) as file:
        found = [name for name in file.namelist() if name.endswith('data.pkl')]
        if len(found) != 1:
            raise pickle.UnpicklingError('a zip file, but not from torch.save')
        folder = found[0].removesuffix('data.pkl')
        order = file.read(f'{folder}byteorder') if f'{folder}byteorder' in file.namelist() else b'little'
        if order != b'little':
            raise pickle.UnpicklingError('written on a big-endian machine')
        value = _Unpickler(io.BytesIO(file.read(found[0]))).load()
        return _resolved(value, lambda key, dtype: np.frombuffer(file.read(f'{folder}data/{key}'), dtype))


def _from_legacy(path: pathlib.Path) -> Any:
    with path.open('rb') as file:
        if file.read(2) != b'\x80\x02':  # The magic number is a pickle of protocol 2.
            raise pickle.UnpicklingError('neither a zip file nor a pickle from torch.save')
        file.seek(0)
        if _Unpickler(file).load() != LEGACY_MAGIC:
            raise pickle.UnpicklingError('a pickle, but not from torch.save')
        for _ in ('protocol', 'system'):
            _Unpickler(file).load()
        value = _Unpickler(file).load()
        dtypes: dict[str, np.dtype] = {}
        _resolved(value, lambda key, dtype: dtypes.setdefault(key, dtype), gather=True)
        storages = {}
        for key in _Unpickler(file).load():
            size = int.from_bytes(file.read(8), 'little')
            dtype = dtypes[str(key)]
            storages[str(key)] = np.frombuffer(file.read(size * dtype.itemsize), dtype, size)
        return _resolved(value, lambda key, dtype: storages[key])


def _resolved(value: Any, storage: Callable[[str, np.dtype], Any], gather: bool = False) -> Any:
    """Replaces each tensor in `value` by its array. With `gather`, calls `storage` but makes no arrays."""
    if isinstance(value, Mapping):
        return {key: _resolved(v, storage, gather) for key, v in value.items()}
    if isinstance(value, _Tensor):
        flat = storage(value.key, value.dtype)
        return None if gather else _view(flat, value)
    if isinstance(value, list | tuple):
        return [_resolved(v, storage, gather) for v in value]
    return value


def _view(flat: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """Returns the array of a tensor as a view of its storage; raises ValueError if it reaches beyond the storage."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0:
        raise ValueError('a tensor of negative size')
    if math.prod(tensor.shape) and tensor.offset + reach >= flat.size:
        raise ValueError('a tensor larger than its storage')
    steps = tuple(stride * flat.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps, writeable=False)


def _state_dict(value: Any) -> Arrays:
    """Returns the tensors of a state_dict, at the top level or under one of `STATE_KEYS`."""
    if not isinstance(value, Mapping):
        return {}
    own = {key: v for key, v in value.items() if isinstance(key, str) and isinstance(v, np.ndarray)}
    nested = [_state_dict(value[key]) for key in STATE_KEYS if isinstance(value.get(key), Mapping)]
    return next(filter(None, nested), own)
