"""The Jensen-Shannon divergence: hand-computed numbers and its limits."""

import jax
import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.losses.small_arrays import log, random_logits


def test_jsd_by_hand_and_its_symmetry():
    # p = (3/4, 1/4), q = (1/4, 3/4), m = (1/2, 1/2): both divergences are 0.75 ln 1.5 + 0.25 ln 0.5.
    student, teacher = log(1.0, 3.0), log(3.0, 1.0)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(losses.jsd(student, teacher), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.jsd(2 * student, 2 * teacher, t=2.0), 4 * expected, rtol=1e-5)
    # beta = 1/4: m = (3/8, 5/8).
    first = 0.75 * np.log(2.0) + 0.25 * np.log(0.4)
    second = 0.25 * np.log(2 / 3) + 0.75 * np.log(1.2)
    np.testing.assert_allclose(losses.jsd(student, teacher, beta=0.25), first / 4 + 3 * second / 4, rtol=1e-5)
    # Distributions without a common class are as far apart as two can be.
    apart = np.array([[0.0, -np.inf], [-np.inf, 0.0]], np.float32)
    np.testing.assert_allclose(losses.jsd(apart[0], apart[1]), np.log(2.0), rtol=1e-6)


def test_jsd_over_its_share_tends_to_the_two_divergences():
    with jax.enable_x64(True):
        student, teacher = (random_logits(3, seed=seed).astype(np.float64) for seed in (0, 1))
        forward = losses.jsd(student, teacher, beta=1e-6) / 1e-6
        backward = losses.jsd(student, teacher, beta=1 - 1e-6) / 1e-6
        np.testing.assert_allclose(forward, losses.kd(student, teacher), rtol=1e-4)
        np.testing.assert_allclose(backward, losses.kd(teacher, student), rtol=1e-4)


@pytest.mark.parametrize('beta', [0.0, 1.0])
def test_jsd_is_refused_where_it_would_always_be_zero(beta):
    paths = {'student': 'student.logits', 'target': 'student.logits'}
    config = {
        'networks': {'student': {'model': 'mlp'}}, 'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
        'terms': {'jsd': {'loss': 'jsd', **paths, 'beta': beta}},
    }  # fmt: skip
    with pytest.raises(UserError, match='must be greater than 0 and less than 1'):
        parse_recipe(config)
