"""A checksum of what a data source gives, by which a study notices that a file of data was replaced."""

import weakref
import zlib
from typing import Any

import numpy as np

from kd_jax.data.lazy_images import Images
from kd_jax.data.sources import Source

_KNOWN: weakref.WeakKeyDictionary[Source, str] = weakref.WeakKeyDictionary()  # the runs of a study share their source


def source_checksum(source: Source) -> str:
    """A CRC-32 of all arrays of a source, for example 'crc32:0a1b2c3d'.

    Of images that are read from files, only their number and size count.
    """
    if source not in _KNOWN:
        found = 0
        for split, arrays in (('train', source.train), ('valid', source.valid or {}), ('test', source.test)):
            for name in sorted(arrays):
                found = zlib.crc32(f'{split} {name}'.encode(), _of_array(arrays[name], found))
        _KNOWN[source] = f'crc32:{found:08x}'
    return _KNOWN[source]


def _of_array(array: Any, begun: int) -> int:
    if isinstance(array, Images):
        return zlib.crc32(f'{len(array)} {array.size} {array.resize}'.encode(), begun)
    host = np.ascontiguousarray(array)
    begun = zlib.crc32(f'{host.dtype}{list(host.shape)}'.encode(), begun)
    return zlib.crc32(host.reshape(-1).view(np.uint8).data, begun)
