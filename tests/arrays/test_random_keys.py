"""Random keys that are derived from names."""

import jax
import numpy as np

from kd_jax.arrays.random_keys import fold_in_name

KEY = jax.random.key(0)


def data(key):
    return jax.random.key_data(key).tolist()


def test_one_name_gives_one_key_and_other_names_and_keys_give_others():
    keys = [fold_in_name(KEY, 'student'), fold_in_name(KEY, 'teacher'), fold_in_name(jax.random.key(1), 'student')]
    assert data(fold_in_name(KEY, 'student')) == data(keys[0])
    assert len({tuple(data(key)) for key in (KEY, *keys)}) == 4


def test_a_name_is_folded_in_as_the_first_four_bytes_of_its_sha256():
    # The SHA-256 of 'abc' begins with ba7816bf (FIPS 180-2, appendix B.1).
    np.testing.assert_array_equal(data(fold_in_name(KEY, 'abc')), data(jax.random.fold_in(KEY, 0xBA7816BF)))
