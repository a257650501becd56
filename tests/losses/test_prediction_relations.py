"""DIST, MLLD and Kendall: hand-computed numbers and the statistics that they are made of."""

import re

import jax
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import kendalltau, pearsonr

from kd_jax import losses
from kd_jax.config.errors import UserError
from tests.losses.small_arrays import random_logits


def test_dist_is_one_minus_the_correlations_of_rows_and_of_columns():
    student, teacher = random_logits(6, 4), random_logits(6, 4, seed=1)
    q, p = (softmax(z / 2.0, axis=-1) for z in (student, teacher))
    rows = np.mean([1 - pearsonr(a, b)[0] for a, b in zip(q, p, strict=True)])
    columns = np.mean([1 - pearsonr(a, b)[0] for a, b in zip(q.T, p.T, strict=True)])
    paper = losses.dist(student, teacher, t=2.0, inter=2.0, intra=3.0, form='paper')
    np.testing.assert_allclose(paper, 2 * rows + 3 * columns, rtol=1e-4)
    code = losses.dist(student, teacher, t=2.0, inter=2.0, intra=3.0)
    np.testing.assert_allclose(code, 4 * paper, rtol=1e-6)


def test_a_gradient_step_lowers_both_parts_of_dist():
    student, teacher = random_logits(6, 4), random_logits(6, 4, seed=1)
    for weights in ({'inter': 1.0, 'intra': 0.0}, {'inter': 0.0, 'intra': 1.0}):
        value, grad = jax.value_and_grad(losses.dist)(student, teacher, **weights)
        assert losses.dist(student - 0.1 * grad, teacher, **weights) < value


def test_mlld_by_hand():
    # Student (1/2, 1/2) and (1/2, 1/2), teacher (1, 0) and (0, 1), at one temperature.
    student, teacher = np.zeros((2, 2), np.float32), np.array([[40.0, 0.0], [0.0, 40.0]], np.float32)
    parts = {'instance': 0.0, 'batch': 0.0, 'classes': 0.0}
    # Q Q^T and Q^T Q are 1/2 everywhere; P P^T and P^T P the identity: 4 * (1/2)^2 / 2.
    for part, expected in (('instance', np.log(2)), ('batch', 0.5), ('classes', 0.5)):
        loss = losses.mlld(student, teacher, temperatures=(1.0,), **{**parts, part: 1.0})
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_mlld_sums_over_temperatures():
    student, teacher = random_logits(4, 3), random_logits(4, 3, seed=1)
    each = [losses.mlld(student, teacher, temperatures=(t,)) for t in (2.0, 5.0)]
    np.testing.assert_allclose(losses.mlld(student, teacher, temperatures=(2.0, 5.0)), sum(each), rtol=1e-5)


@pytest.mark.parametrize(
    ('temperatures', 'message'),
    [
        ((0.0, 2.0), 'temperatures is 0, but it must be greater than 0'),
        ((2.0, -4.0), 'temperatures is -4, but it must be greater than 0'),
        ((1e9,), 'temperatures is 1e+09, but it must lie between 1e-6 and 1e6'),
        ((), 'temperatures is empty, but mlld sums over at least one: name some, such as (2.0, 4.0)'),
    ],
)
def test_temperatures_that_are_none_are_refused(temperatures, message):
    with pytest.raises(UserError, match=re.escape(message)):
        losses.mlld(random_logits(4, 3), random_logits(4, 3, seed=1), temperatures=temperatures)


def test_the_limit_of_kendall_is_kendalls_tau():
    student, teacher = random_logits(3, 6), random_logits(3, 6, seed=1)
    expected = [1 - kendalltau(a, b)[0] for a, b in zip(student, teacher, strict=True)]
    np.testing.assert_allclose(losses.kendall(student, teacher, steepness=1e4), expected, atol=1e-5)


def test_kendall_by_hand():
    # One pair, differences 1 and -2.
    loss = losses.kendall(np.array([1.0, 0.0]), np.array([0.0, 2.0]), steepness=0.5)
    np.testing.assert_allclose(loss, 1 + np.tanh(0.5) * np.tanh(1.0), rtol=1e-5)
