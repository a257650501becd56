"""Relations between tokens against a loop written out by hand, and what padding, order and heads change."""

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.losses import token_relations
from tests.losses.small_arrays import random

A, B = random(2, 4, 2, 3), random(2, 4, 2, 3, seed=1)
C, D = random(2, 4, 2, 5, seed=2), random(2, 4, 2, 5, seed=3)
SEGMENT = np.array([[1, 1, 2, 2], [1, 1, 1, 0]])


def by_hand(causal, segment=SEGMENT):
    """The loss, token by token and head by head in float64."""
    out = np.zeros(segment.shape)
    for row, i in np.argwhere(segment > 0):
        related = [j for j in range(4) if segment[row, j] == segment[row, i] and (j <= i or not causal)]
        for head in range(2):
            both = []
            for a, b in ((A, B), (C, D)):
                scores = np.array([a[row, i, head] @ b[row, j, head] for j in related], np.float64)
                both.append(np.exp(scores / np.sqrt(a.shape[-1])))
            q, p = (x / x.sum() for x in both)
            out[row, i] += np.sum(p * np.log(p / q)) / 2
    return out


@pytest.mark.parametrize('causal', [False, True])
def test_it_is_the_mean_over_heads_of_the_kl_of_each_token(causal):
    np.testing.assert_allclose(
        token_relations(A, B, C, D, SEGMENT, causal=causal), by_hand(causal), rtol=1e-4, atol=1e-6
    )


def test_relation_heads_are_split_anew_from_all_channels():
    # Six channels of the student and ten of the teacher as two heads, written as heads of other numbers.
    one = [array.reshape(2, 4, 1, -1) for array in (A, B)], [array.reshape(2, 4, 5, 2) for array in (C, D)]
    loss = token_relations(*one[0], *one[1], SEGMENT, heads=2)
    np.testing.assert_allclose(loss, by_hand(False), rtol=1e-4, atol=1e-6)


def test_a_head_of_keys_serves_as_many_heads_of_queries_in_order():
    keys = B[:, :, :1]
    twice = np.repeat(keys, 2, axis=2)
    np.testing.assert_allclose(
        token_relations(A, keys, C, D, SEGMENT), token_relations(A, twice, C, D, SEGMENT), rtol=1e-6
    )


def test_padding_enters_nothing_and_gradients_are_finite():
    def total(a, b):
        return token_relations(a, b, C, D, SEGMENT).sum()

    for grad in jax.grad(total, argnums=(0, 1))(A, B):
        assert np.all(np.isfinite(grad))
        np.testing.assert_array_equal(grad[1, 3], 0.0)


@pytest.mark.parametrize(
    ('arrays', 'options', 'said'),
    [
        ((A[:, :, 0], B, C, D), {}, r'needs arrays \[batch, length, heads, head_dim\]'),
        ((A, B, C, D), {'heads': 4}, 'heads is 4, but it must divide the 6 channels'),
        ((A, D, C, D), {}, '2 heads of 3 channels and 2 of 5 do not fit'),
        ((A, B, C.reshape(2, 4, 5, 2), D.reshape(2, 4, 5, 2)), {}, 'for unlike heads, set heads'),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arrays, options, said):
    with pytest.raises(UserError, match=said):
        token_relations(*arrays, SEGMENT, **options)
