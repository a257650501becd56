import jax
import numpy as np
import pytest

from kd_jax.language.kv_cache import LEAST_BLOCK, attention, causal_attention, empty_cache, stored, with_tokens
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


def test_attention_to_a_cache_is_attention_to_what_was_stored_in_its_order():
    queries, keys, values = (
        np.random.default_rng(seed).normal(size=(2, 3, heads, 5)).astype(np.float32)
        for seed, heads in enumerate((4, 2, 2))
    )
    cache = empty_cache(1, 2, 8, 2, 5)
    past = stored((cache.keys[0], cache.values[0]), keys[:, :2], values[:, :2], 4)
    past = stored(past, keys[:, 2:], values[:, 2:], 1)
    mask = np.zeros((2, 1, 3, 8), bool)
    mask[:, :, :, [1, 4, 5]] = True
    mask[1, :, 2, 4] = False
    in_order = mask[..., [4, 5, 1]]  # the slots of the tokens 0, 1 and 2
    expected = jax.nn.dot_product_attention(queries, keys, values, mask=in_order)
    np.testing.assert_allclose(attention(queries, past, mask), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('at', [0, 3])
def test_attention_block_by_block_is_that_of_all_slots_and_leaves_out_those_of_later_tokens(at):
    length = 2 * LEAST_BLOCK + 20
    size = at + length + 5
    draw = np.random.default_rng(0).normal
    queries = draw(size=(2, length, 4, 6)).astype(np.float32)
    past = draw(size=(4, 6, size)).astype(np.float32), draw(size=(4, size, 6)).astype(np.float32)
    mask = np.tri(length, size, at, dtype=bool)[None, None] & (np.arange(size) > 0)  # slot 0 is padding
    mask = np.concatenate([mask, np.tri(length, size, at, dtype=bool)[None, None]])
    ours, whole = causal_attention(queries, past, mask, at), attention(queries, past, mask)
    real = np.s_[1:] if at == 0 else np.s_[:]  # of the first example, query 0 is padding, too
    np.testing.assert_allclose(ours[:, real], whole[:, real], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(causal_attention(queries, past, mask, np.int32(at)), whole)
    later = tuple(
        np.where(np.arange(size) < at + LEAST_BLOCK, a, np.nan) for a in (past[0], past[1].transpose(0, 2, 1))
    )
    first = causal_attention(queries, (later[0], later[1].transpose(0, 2, 1)), mask, at)[:, :LEAST_BLOCK]
    np.testing.assert_array_equal(first, ours[:, :LEAST_BLOCK])


def test_logits_with_a_cache_are_those_without_it():
    module = decoder()
    variables = weights(module)
    expected = applied(module, variables, TOKENS)['logits']
    extend = jax.jit(lambda v, t, c: module.apply(v, t, c, module.layers_apart(v), method='extend'))
    logits, cache = extend(variables, TOKENS[:, :3], module.cache(2, 9))
    np.testing.assert_allclose(logits, expected[:, 2], rtol=1e-4, atol=1e-5)
    for at in range(3, 7):
        logits, cache = extend(variables, TOKENS[:, at : at + 1], cache)
        np.testing.assert_allclose(logits, expected[:, at], rtol=1e-4, atol=1e-5)
