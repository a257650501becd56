"""A checksum of what a data source gives, by which a study notices that a file of data was replaced."""

import weakref
import zlib
from typing import Any

import numpy as np

from kd_jax.data.source import ReadFromFiles, Source

PART = 2**26  # bytes of an array that are copied at once
_KNOWN: weakref.WeakKeyDictionary[Source, str] = weakref.WeakKeyDictionary()  # the runs of a study share their source


def source_checksum(source: Source) -> str:
    """A CRC-32 of all arrays of a source, for example 'crc32:0a1b2c3d'.

    Of what is read from files, its `identity` counts: for a folder of images that of its files, for images of TFDS only
    their number and size.
    """
    if source not in _KNOWN:
        found = 0
        for split, arrays in (('train', source.train), ('valid', source.valid or {}), ('test', source.test)):
            for name in sorted(arrays):
                found = zlib.crc32(f'{split} {name}'.encode(), _of_array(arrays[name], found))
        _KNOWN[source] = f'crc32:{found:08x}'
    return _KNOWN[source]


def _of_array(array: Any, begun: int) -> int:
    if isinstance(array, ReadFromFiles):
        return zlib.crc32(array.identity().encode(), begun)
    host = np.asarray(array)
    found = zlib.crc32(f'{host.dtype}{list(host.shape)}'.encode(), begun)
    rows = max(1, PART // max(1, host[:1].nbytes))
    for start in range(0, len(host), rows):  # an array may be larger than memory: a file, or one pixel that is repeated
        found = zlib.crc32(np.ascontiguousarray(host[start : start + rows]).reshape(-1).view(np.uint8).data, found)
    return found
