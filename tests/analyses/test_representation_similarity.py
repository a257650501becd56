import numpy as np
import pytest

from kd_jax import analyses, losses
from kd_jax.config.errors import UserError


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_cka_by_hand():
    # Centred (-1, 0, 1) and (-1, 2, -1) are orthogonal; (-1, 0, 1) and (-2, 1, 1): 3^2 / (2 * 6).
    line = np.array([[0.0], [1.0], [2.0]])
    for other, expected in (([0.0, 3.0, 0.0], 0.0), ([0.0, 3.0, 3.0], 0.75), ([5.0, 3.0, 1.0], 1.0)):
        found = analyses.cka({'test': line}, {'test': np.array(other)[:, None]})
        np.testing.assert_allclose(found['cka'], expected, atol=1e-12)


def test_cka_of_a_split_is_one_minus_the_loss_of_it_as_a_batch():
    x, y = random(8, 2, 3), random(8, 5, seed=1)
    np.testing.assert_allclose(analyses.cka({'test': x}, {'test': y})['cka'], 1 - losses.cka(x, y), rtol=1e-5)


def test_a_constant_activation_has_no_cka():
    assert analyses.cka({'test': np.ones((4, 2))}, {'test': random(4, 2)}) == {'cka': None, 'examples': 4}


def test_a_split_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="first has no split 'valid'; it has test"):
        analyses.cka({'test': random(4, 2)}, {'test': random(4, 2)}, split='valid')
