import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.losses import kd
from kd_jax.models import known_tokens


def test_what_fills_a_vocabulary_up_changes_no_loss():
    z, v = jnp.array([[1.0, 2.0, -1.0]]), jnp.array([[0.5, 0.0, 1.5]])
    filled = jnp.concatenate([v, jnp.array([[9.0, -3.0]])], axis=-1)
    cut = known_tokens(size=3).apply({}, filled)['logits']
    np.testing.assert_array_equal(kd(z, cut), kd(z, v))


def test_the_softmax_is_the_distribution_of_the_known_tokens():
    probabilities = jnp.array([0.1, 0.3, 0.4, 0.2])
    found = jax.nn.softmax(known_tokens(size=2).apply({}, jnp.log(probabilities))['logits'])
    np.testing.assert_allclose(found, [0.25, 0.75], rtol=1e-6)  # 0.1 / 0.4 and 0.3 / 0.4


def test_more_tokens_than_there_are_is_one_sentence():
    with pytest.raises(UserError, match='size is 5, but there are 4 tokens'):
        known_tokens(size=5).apply({}, jnp.zeros((2, 4)))
