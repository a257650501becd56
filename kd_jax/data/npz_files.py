"""Reads .npz files that may come from elsewhere: memory is bounded by what such a file can honestly hold."""

import math
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np

from kd_jax.config.ordinary_files import check_unpacked, open_ordinary, size_of

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes


def read_npz(path: str | pathlib.Path, wanted: Callable[[str], bool]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads those arrays of a .npz file that are wanted.

    Args:
      path: the file.
      wanted: says by its name whether an array is read.
    Returns:
      name -> array, and the names of the arrays that are not read.
    Raises:
      UserError: it is not an ordinary file, or its arrays are much larger than the file.
      OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile: it is missing, damaged or not a .npz file, or an
        array holds Python objects.
    """
    with open_ordinary(path) as file, zipfile.ZipFile(file) as archive:
        members = {one.filename.removesuffix('.npy'): one for one in archive.infolist()}
        chosen = {name: one for name, one in members.items() if one.filename.endswith('.npy') and wanted(name)}
        check_unpacked(path, size_of(file), sum(one.file_size for one in chosen.values()))
        arrays = {name: _read_array(archive, one, name) for name, one in chosen.items()}
    return arrays, sorted(members.keys() - chosen.keys())


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    """Reads an array; its header is checked first, because NumPy reserves the memory that the header asks for."""
    if member.compress_type not in METHODS:
        raise ValueError(f'array {name} is compressed in another way than NumPy does')
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f'array {name} has version {version[0]}.{version[1]} of the format')
        try:
            shape, _, dtype = HEADERS[version](file)
        except Exception as error:  # of the parser of Python
            raise ValueError(f'array {name} has a damaged header') from error
        size = member.file_size - file.tell()
    if dtype.hasobject:
        raise ValueError(f'array {name} holds Python objects, which are pickled code; save numbers')
    if dtype.itemsize == 0 or 0 in shape[1:] or math.prod(shape) * dtype.itemsize != size or min(shape, default=0) < 0:
        raise ValueError(f'array {name} has {size:,} bytes, not those of {dtype}{list(shape)}')
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
