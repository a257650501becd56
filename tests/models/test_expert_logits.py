"""Targets from a generalist and specialists, against probabilities that are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.models import combined_experts, subset_logits

P = np.array([0.1, 0.2, 0.3, 0.4])


def test_the_probabilities_of_the_other_classes_are_added_up():
    out = subset_logits(size=2, subset=(3, 1)).apply({}, jnp.log(P)[None] + 7.0)
    np.testing.assert_allclose(jax.nn.softmax(out['logits'])[0], [0.4, 0.2, 0.4], rtol=1e-6)
    first = subset_logits(size=2).apply({}, jnp.log(P)[None])
    np.testing.assert_allclose(jax.nn.softmax(first['logits'])[0], [0.1, 0.2, 0.7], rtol=1e-6)


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        ({'size': 2, 'subset': (1,)}, 'subset has 1 classes, but size is 2'),
        ({'size': 2, 'subset': (1, 4)}, 'numbered 0..3'),
        ({'size': 2, 'subset': (1, 1, 2)}, 'each once'),
        ({'size': 4}, 'not all'),
    ],
)
def test_a_subset_of_another_size_or_of_unknown_or_all_or_equal_classes_is_refused(options, sentence):
    with pytest.raises(UserError, match=sentence):
        subset_logits(**options).apply({}, jnp.log(P)[None])


def one_specialist(p, s, subset):
    """The q that minimises KL(p, q) + KL(s, q) for one specialist s: inside its subset it is the mean of the two."""
    inside = np.isin(np.arange(len(p)), subset)
    q = np.where(inside, 0.0, p / p[~inside].sum() * (p[~inside].sum() + s[-1]) / 2)
    q[list(subset)] = (p[list(subset)] + s[:-1]) / 2
    return q


@pytest.mark.parametrize('rate', [1.0, 3.0])
def test_with_one_specialist_the_combination_is_the_mean_of_both_inside_its_subset(rate):
    s = np.array([0.7, 0.1, 0.2])
    corrected = np.array([0.7, 0.1, 0.2 * rate])
    model = combined_experts(subsets=((3, 1),), oversampling=(rate,), steps=200)
    out = model.apply({}, jnp.log(P)[None], jnp.log(s)[None])
    q = one_specialist(P, corrected / corrected.sum(), (3, 1))
    assert q.sum() == pytest.approx(1)
    np.testing.assert_allclose(jax.nn.softmax(out['logits'])[0], q, atol=1e-4)


def test_without_an_active_specialist_the_generalist_speaks():
    model = combined_experts(subsets=((0, 1),))  # the most probable class is 3
    out = model.apply({}, jnp.log(P)[None], jnp.zeros((1, 3)))
    np.testing.assert_array_equal(out['logits'], jnp.log(P)[None].astype(jnp.float32))


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        ({'subsets': ((0, 1),)}, r'shape \(2, 1, 3\), but the subsets and the generalist require \(1, 1, 3\)'),
        ({'subsets': ((0, 1), (2, 4))}, 'specialists: subset 1'),
        ({'subsets': ((0, 1), (2,))}, r'sizes \[2, 1\]'),
        ({'oversampling': (2.0,)}, 'oversampling is .* 2 of them'),
        ({'oversampling': (2.0, 0.0)}, 'one positive number'),
    ],
)
def test_subsets_and_oversampling_that_do_not_fit_two_specialists_are_refused(options, sentence):
    with pytest.raises(UserError, match=sentence):
        combined_experts(**options).apply({}, jnp.zeros((1, 4)), jnp.zeros((1, 3)), jnp.zeros((1, 3)))
