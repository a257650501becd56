import numpy as np
import pytest

from kd_jax.data.source import Source, Vocabulary
from kd_jax.data.source_checksum import source_checksum


def test_a_source_is_itself_alone_so_its_checksum_is_computed_once():
    arrays = {'tokens': np.zeros((2, 3), np.int32)}
    one, other = (Source(arrays, vocabulary=Vocabulary('bytes', 260)) for _ in range(2))
    assert one != other
    assert len({one, other}) == 2
    assert source_checksum(one) == source_checksum(other)


def test_the_tokens_of_a_source_have_no_mask_and_are_predicted_one_after_another_unless_it_says_so():
    assert Vocabulary('bytes', 260) == ('bytes', 260, None, 'next', None)
    with pytest.raises(TypeError):
        Vocabulary('bytes')
