"""Checksums of the arrays of a checkpoint, which tell whether what is read back is what was saved.

A checksum is a CRC-32 of an array's type, shape and bytes. It depends on the whole array and not on how the array is
split over devices or files, so that a checkpoint may be read with other devices, and in part.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec


def array_checksums(tree: Any) -> dict[str, str]:
    """The checksum of each array of a tree, by its path, for example 'params/student/head/bias' -> '0a1b2c3d'.

    An array that is split over several processes is gathered first, one array at a time. All processes must call this.
    """
    return {path_text(path): array_checksum(array) for path, array in jax.tree.leaves_with_path(tree)}


def path_text(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator='/')


def first_difference(found: Mapping[str, str], saved: Mapping[str, str], whole: bool) -> str | None:
    """The path of the first array whose checksum is not the saved one; None if there is none.

    With `whole`, an array that was saved and is not among those found is a difference, too.
    """
    paths = found.keys() | saved.keys() if whole else found.keys()
    return next((path for path in sorted(paths) if found.get(path) != saved.get(path)), None)


def array_checksum(array: Any) -> str:
    """The checksum of one array, eight hexadecimal digits; see `array_checksums`."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        split: Any = array.sharding
        whole = NamedSharding(split.mesh, PartitionSpec())
        array = jax.jit(lambda a: a, out_shardings=whole)(array)
    host = np.ascontiguousarray(array)
    begun = zlib.crc32(f'{host.dtype}{list(array.shape)}'.encode())
    return f'{zlib.crc32(host.reshape(-1).view(np.uint8).data, begun):08x}'
