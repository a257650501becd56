"""Checksums of arrays: they see every bit, the type and the shape, and not how an array is split over devices."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.training.array_checksums import array_checksum, array_checksums, first_difference


def test_a_checksum_is_the_crc_of_type_shape_and_bytes():
    array = np.array([[1, 2], [3, 4]], np.int16)
    wanted = zlib.crc32(b'int16[2, 2]' + bytes([1, 0, 2, 0, 3, 0, 4, 0]))
    assert array_checksum(array) == f'{wanted:08x}' == array_checksum(jnp.asarray(array))


def test_every_bit_counts():
    array = np.linspace(-1, 1, 5).astype(np.float32)
    seen = {array_checksum(array)}
    for bit in range(8 * array.nbytes):
        flipped = array.view(np.uint8).copy()
        flipped[bit // 8] ^= 1 << bit % 8
        seen.add(array_checksum(flipped.view(np.float32)))
    assert len(seen) == 1 + 8 * array.nbytes  # a CRC finds every change of up to 32 neighbouring bits


def test_type_and_shape_count():
    zeros = [np.zeros(4, np.float32), np.zeros((2, 2), np.float32), np.zeros(4, np.int32), np.zeros(8, np.float16)]
    assert len({array_checksum(array) for array in zeros}) == 4


def test_scalars_random_keys_empty_arrays_and_narrow_types_have_checksums():
    tree = {'step': jnp.int32(3), 'key': jax.random.key(0), 'none': np.zeros((0, 2)), 'b': jnp.ones(2, jnp.bfloat16)}
    found = array_checksums(tree)
    assert set(found) == {'step', 'key', 'none', 'b'}
    assert found['key'] != array_checksums({'key': jax.random.key(1)})['key']


def test_a_strided_view_has_the_checksum_of_its_values():
    array = np.arange(12).reshape(3, 4)
    assert array_checksum(array.T) == array_checksum(array.T.copy()) != array_checksum(array)


def test_the_first_difference_is_named_and_a_missing_array_counts_in_a_whole_tree():
    saved = {'a': '1', 'b': '2', 'c': '3'}
    assert first_difference(saved, saved, whole=True) is None
    assert first_difference({'b': '2'}, saved, whole=False) is None
    assert first_difference({'b': '2'}, saved, whole=True) == 'a'
    assert first_difference({'b': '4'}, saved, whole=False) == 'b'
    assert first_difference({'d': '4'}, saved, whole=False) == 'd'
