"""The first byte of the next token: sums by hand, and models of one text that agree whatever their tokens are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.models import first_bytes

A, B = 97, 98


def said(first, probabilities, **places):
    return first_bytes(first=first).apply({}, jnp.log(jnp.array(probabilities))[None, None], **places)['logits'][0, 0]


def test_the_probability_of_a_byte_is_that_of_all_tokens_that_begin_with_it():
    # Tokens 'a', 'ab', 'b' and an end of text.
    found = np.exp(said((A, A, B, 256), [0.2, 0.3, 0.4, 0.1]))
    np.testing.assert_allclose(found[[A, B, 256]], [0.5, 0.4, 0.1], rtol=1e-6)
    assert found.sum() == pytest.approx(1.0)
    assert np.count_nonzero(found) == 3


def test_models_of_one_text_agree_whatever_their_tokens_are():
    # Bytes are drawn independently, 'a' with 0.3 and 'b' with 0.7. A longest-match tokenizer with the token 'ab' sees
    # 'a' only before another 'a': P('a') = 0.3 * 0.3, P('ab') = 0.3 * 0.7, P('b') = 0.7.
    by_byte, merged = said((A, B), [0.3, 0.7]), said((A, A, B), [0.09, 0.21, 0.7])
    np.testing.assert_allclose(losses.kd(by_byte, merged), 0.0, atol=1e-7)
    # Sorted probabilities do not agree: |0.7 - 0.7| + |0.3 - 0.21| + |0 - 0.09|.
    tokens = (jnp.log(jnp.array(p)) for p in ([0.3, 0.7], [0.09, 0.21, 0.7]))
    np.testing.assert_allclose(losses.sorted_distance(*tokens), 0.18, rtol=1e-5)


def test_only_the_places_that_are_named_are_kept():
    logits = jax.random.normal(jax.random.key(0), (2, 4, 3))
    module, places = first_bytes(first=(A, A, B)), jnp.array([[3, 0], [1, 1]])
    every, some = module.apply({}, logits)['logits'], module.apply({}, logits, places)['logits']
    np.testing.assert_array_equal(some[0], every[0, [3, 0]])
    np.testing.assert_array_equal(some[1], every[1, [1, 1]])


def test_the_gradient_of_kd_is_that_of_the_summed_probabilities():
    # For q = softmax(z) and one byte of tokens 0 and 1: d kd / dz_i = q_i - p(byte of i) q_i / q(byte of i).
    z, first, p = jnp.array([0.5, -1.0, 2.0]), np.array([A, A, B]), said((A, B), [0.6, 0.4])

    def loss(z):
        return losses.kd(first_bytes(first=tuple(first)).apply({}, z[None, None])['logits'][0, 0], p)

    q = jax.nn.softmax(z)
    share = q / jnp.array([q[0] + q[1], q[0] + q[1], q[2]])
    np.testing.assert_allclose(jax.grad(loss)(z), q - jnp.array([0.6, 0.6, 0.4]) * share, rtol=1e-5)


def test_very_small_probabilities_keep_their_logarithm():
    logits = jnp.array([0.0, -200.0, -201.0])[None, None]
    found = first_bytes(first=(A, B, B)).apply({}, logits)['logits'][0, 0, B]
    np.testing.assert_allclose(found, -200.0 + np.log1p(np.exp(-1.0)), rtol=1e-6)


def test_a_tokenizer_knows_the_first_bytes_and_the_model_may_have_more_tokens():
    z = jax.random.normal(jax.random.key(0), (1, 2, 300))
    found = first_bytes(first='bytes').apply({}, z)['logits']
    log_p = jax.nn.log_softmax(z)
    np.testing.assert_allclose(found[..., :256], log_p[..., :256], rtol=1e-5)
    np.testing.assert_allclose(found[..., 256], jax.nn.logsumexp(log_p[..., 256:], axis=-1), rtol=1e-5)
    with pytest.raises(UserError, match="first='words' is a tokenizer whose tokens are not made of bytes"):
        first_bytes(first='words').apply({}, z)
    with pytest.raises(UserError, match='first has 260 numbers, but it needs one from 0 to 256 for each of the 100'):
        first_bytes(first='bytes').apply({}, z[..., :100])


@pytest.mark.parametrize('first', [(A, B), (A, B, 257), (A, B, -1)])
def test_a_table_that_is_not_that_of_the_vocabulary_is_refused(first):
    with pytest.raises(UserError, match=r'needs one from 0 to 256 for each of the 3 tokens'):
        said(first, [0.2, 0.3, 0.5])
