"""Reads PyTorch's weight files without PyTorch and without running code from them.

Memory and time are bounded by what the file can honestly hold: a storage is read once however many tensors view it,
and only if a tensor of the state_dict does.
"""

import io
import math
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np
import safetensors
import safetensors.numpy

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.ordinary_files import check_unpacked, open_ordinary, size_of
from kd_jax.interop.tensor_pickles import Refused, Storage, Tensor, load_pickle

Arrays = dict[str, np.ndarray]
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STATE_KEYS = ('model', 'state_dict', 'model_state_dict', 'net', 'weights')
PICKLE_BYTES = 2**22  # describes some 30,000 tensors


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
    if not path.exists():
        raise UserError(f'{where}: there is no file {path}.')
    try:
        with open_ordinary(path) as file:
            if path.suffix == '.safetensors':
                state: Any = safetensors.numpy.load_file(path)
            else:
                state = _from_zip(file) if zipfile.is_zipfile(file) else _from_legacy(file)
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    except Refused as error:
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


def _from_zip(file: IO[bytes]) -> Arrays:
    with zipfile.ZipFile(file) as archive:
        found = [name for name in archive.namelist() if name.endswith('data.pkl')]
        if len(found) != 1:
            raise pickle.UnpicklingError('a zip file, but not from torch.save')
        folder = found[0].removesuffix('data.pkl')
        order = f'{folder}byteorder'
        if order in archive.namelist() and _member(archive, order, 100) != b'little':
            raise pickle.UnpicklingError('written on a big-endian machine')
        value, _ = load_pickle(io.BytesIO(_member(archive, found[0], PICKLE_BYTES)))
        state = _state_dict(value)
        keys = {tensor.storage.key for tensor in state.values()}
        sizes = {key: archive.getinfo(f'{folder}data/{key}').file_size for key in keys}
        _check_sizes(file, sum(sizes.values()), state)
        return _arrays(state, lambda one: _member(archive, f'{folder}data/{one.key}', sizes[one.key]))


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if (size := archive.getinfo(name).file_size) > limit:
        raise pickle.UnpicklingError(f'{name} has {size:,} bytes, more than the {limit:,} that it may have')
    return archive.read(name)


def _from_legacy(file: IO[bytes]) -> Arrays:
    """Reads the older format: five pickles, then the storages in the order of the last pickle."""
    file.seek(0)
    pickles = io.BytesIO(file.read(PICKLE_BYTES))
    if pickles.getvalue()[:2] != b'\x80\x02':  # The magic number is a pickle of protocol 2.
        raise pickle.UnpicklingError('neither a zip file nor a pickle from torch.save')
    if load_pickle(pickles)[0] != LEGACY_MAGIC:
        raise pickle.UnpicklingError('a pickle, but not from torch.save')
    for _ in ('protocol', 'system'):
        load_pickle(pickles)
    value, storages = load_pickle(pickles)
    keys, _ = load_pickle(pickles)
    state = _state_dict(value)
    _check_sizes(file, 0, state)
    at, size, places = pickles.tell(), size_of(file), {}
    for key in keys:
        file.seek(at)
        length = int.from_bytes(file.read(8), 'little') * storages[key].dtype.itemsize
        if at + 8 + length > size:
            raise ValueError('it ends inside a storage')
        places[key] = at + 8, length
        at += 8 + length

    def read(storage: Storage) -> bytes:
        start, length = places[storage.key]
        file.seek(start)
        return file.read(length)

    return _arrays(state, read)


def _check_sizes(file: IO[bytes], storages: int, state: Mapping[str, Tensor]) -> None:
    """Refuses a file whose storages, in bytes, or whose tensors are much larger than the file."""
    tensors = sum(math.prod(tensor.shape) * tensor.storage.dtype.itemsize for tensor in state.values())
    check_unpacked(file.name, size_of(file), max(storages, tensors))


def _arrays(state: Mapping[str, Tensor], read: Callable[[Storage], bytes]) -> Arrays:
    """The arrays of the tensors, as views of their storages."""
    known: dict[str, np.ndarray] = {}
    for tensor in state.values():
        if tensor.storage.key not in known:
            content, dtype = read(tensor.storage), tensor.storage.dtype
            known[tensor.storage.key] = np.frombuffer(content, dtype, len(content) // dtype.itemsize)
    return {name: _view(known[tensor.storage.key], tensor) for name, tensor in state.items()}


def _view(flat: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Returns the array of a tensor as a view of its storage; raises ValueError if it reaches beyond the storage."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0:
        raise ValueError('a tensor of negative size')
    if math.prod(tensor.shape) and tensor.offset + reach >= flat.size:
        raise ValueError('a tensor larger than its storage')
    steps = tuple(stride * flat.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps, writeable=False)


def _state_dict(value: Any) -> dict[str, Tensor]:
    """Returns the tensors of a state_dict, at the top level or under one of `STATE_KEYS`."""
    return next(filter(None, map(_tensors, _candidates(value, set()))), {})


def _candidates(value: Any, seen: set[int]) -> Iterator[Mapping[Any, Any]]:
    """The dictionaries that may be the state_dict, the innermost first, each once."""
    if not isinstance(value, Mapping) or id(value) in seen:
        return
    seen.add(id(value))
    for key in STATE_KEYS:
        yield from _candidates(value.get(key), seen)
    yield value


def _tensors(value: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {key: one for key, one in value.items() if isinstance(key, str) and isinstance(one, Tensor)}
