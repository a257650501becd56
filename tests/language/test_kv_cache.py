import jax
import numpy as np

from kd_jax.language.kv_cache import empty_cache, with_tokens
from tests.language.small_decoder import TOKENS, applied, decoder, weights


def test_padding_takes_a_slot_but_no_position_and_is_not_read():
    cache = empty_cache(1, 2, 5, 1, 2)
    valid = np.array([[False, True, True], [True, True, True]])
    cache, position, mask = with_tokens(cache, valid)
    np.testing.assert_array_equal(position, [[0, 0, 1], [0, 1, 2]])
    np.testing.assert_array_equal(mask[0, 0], [[0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0]])
    np.testing.assert_array_equal(mask[1, 0], [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    cache, position, mask = with_tokens(cache, np.ones((2, 1), bool))
    np.testing.assert_array_equal(position, [[2], [3]])
    np.testing.assert_array_equal(mask[:, 0, 0], [[0, 1, 1, 1, 0], [1, 1, 1, 1, 0]])
    assert int(cache.length) == 4


def test_logits_with_a_cache_are_those_without_it():
    module = decoder()
    variables = weights(module)
    expected = applied(module, variables, TOKENS)['logits']
    extend = jax.jit(lambda v, t, c: module.apply(v, t, c, method='extend'))
    logits, cache = extend(variables, TOKENS[:, :3], module.cache(2, 9))
    np.testing.assert_allclose(logits, expected[:, 2], rtol=1e-4, atol=1e-5)
    for at in range(3, 7):
        logits, cache = extend(variables, TOKENS[:, at : at + 1], cache)
        np.testing.assert_allclose(logits, expected[:, at], rtol=1e-4, atol=1e-5)
