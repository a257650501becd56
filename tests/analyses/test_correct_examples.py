import numpy as np
import pytest

from kd_jax.analyses.correct_examples import correct_examples, unpack_correct
from kd_jax.config.errors import UserError


def test_bits_are_those_of_the_examples_in_their_order():
    logits = np.eye(3)[[0, 1, 2, 0, 1, 2, 0, 1, 2]]  # predicts 0, 1, 2, 0, 1, 2, 0, 1, 2
    labels = np.array([0, 1, 1, 0, 0, 2, 2, 2, 2])
    found = correct_examples({'test': logits}, {'test': labels})
    # Right, right, wrong, right, wrong, right, wrong, wrong = 11010100 = 212; then right = 10000000 = 128. In base 64
    # these two bytes are 110101 001000 000000 (two bits of padding) = 53, 8, 0 = '1', 'I', 'A'.
    assert found == {'test': {'examples': 9, 'correct': ['1IA=']}}
    assert unpack_correct(found['test']).tolist() == [[True, True, False, True, False, True, False, False, True]]


def test_every_copy_of_a_network_has_bits_of_its_own():
    right, wrong = np.eye(4), np.roll(np.eye(4), 1, axis=-1)
    found = correct_examples({'test': np.stack([right, wrong])}, {'test': np.arange(4)})
    assert unpack_correct(found['test']).tolist() == [[True] * 4, [False] * 4]


@pytest.mark.parametrize(
    'packed', [{}, {'examples': 9, 'correct': []}, {'examples': 9, 'correct': ['1A==']}, {'examples': 9, 'correct': 3},
               {'examples': 9, 'correct': ['ü']}, {'examples': None, 'correct': ['1IA=']}],
)  # fmt: skip
def test_damaged_bits_are_one_sentence(packed):
    with pytest.raises(UserError, match='do not have one bit for each example'):
        unpack_correct(packed)
