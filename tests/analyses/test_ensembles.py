import numpy as np
import pytest

from kd_jax.analyses import ensemble
from kd_jax.config.errors import UserError


def test_two_members_by_hand():
    logits = np.log([[[0.9, 0.1], [0.6, 0.4]], [[0.4, 0.6], [0.1, 0.9]]])
    result = ensemble({'test': logits}, {'test': np.array([0, 1])})['test']
    # The first model is right only on the first image, the second model only on the second image.
    assert result['members']['count'] == 2
    assert result['members']['accuracy'] == 0.5
    assert result['members']['accuracy_sd'] == 0.0
    assert result['members']['errors'] == 1.0
    assert result['members']['nll'] == pytest.approx(-np.log(0.9 * 0.4 * 0.4 * 0.9) / 4)
    # Arithmetic: (0.65, 0.35) and (0.35, 0.65).
    assert result['probabilities'] == pytest.approx({'accuracy': 1.0, 'errors': 0, 'nll': -np.log(0.65), 'gain': 0.5})
    # Geometric: sqrt(0.36) : sqrt(0.06) on both images.
    assert result['logits']['nll'] == pytest.approx(np.log(1 + np.sqrt(0.06 / 0.36)))


def test_averaging_probabilities_and_logits_may_disagree():
    # One model is certain of class 1, two prefer class 0.
    p = np.array([[[0.001, 0.999]], [[0.9, 0.1]], [[0.9, 0.1]]])
    result = ensemble({'test': np.log(p)}, {'test': np.array([0])})['test']
    # Arithmetic: 1.801 against 1.199. Geometric: 0.001 * 0.81 against 0.999 * 0.01.
    assert result['probabilities']['errors'] == 0
    assert result['logits']['errors'] == 1


def test_the_spread_of_members_is_the_sample_standard_deviation():
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    logits = np.array([[right, right, right, right], [right, right, wrong, wrong]])
    result = ensemble({'test': logits}, {'test': np.zeros(4, int)})['test']
    # Accuracies 1 and 1/2: sd = 0.5 / sqrt(2).
    assert result['members']['accuracies'] == [1.0, 0.5]
    assert result['members']['accuracy_sd'] == pytest.approx(0.5 / np.sqrt(2))


def test_copies_of_one_member_gain_nothing():
    logits = np.random.default_rng(0).normal(size=(1, 50, 5))
    labels = {'valid': np.arange(50) % 5}
    alone = ensemble({'valid': logits}, labels)['valid']
    copies = ensemble({'valid': np.repeat(logits, 7, axis=0)}, labels)['valid']
    assert alone['members']['accuracy_sd'] is None
    for average in ('probabilities', 'logits'):
        assert copies[average] == pytest.approx(alone[average])
        assert copies[average]['gain'] == pytest.approx(0.0)
        assert copies[average]['nll'] == pytest.approx(alone['members']['nll'])


def test_averaging_never_costs_likelihood():
    # Jensen: -log of a mean is at most the mean of -log. Renormalising the geometric mean only raises probabilities.
    logits = 3 * np.random.default_rng(1).normal(size=(4, 60, 6))
    result = ensemble({'test': logits}, {'test': np.arange(60) % 6})['test']
    assert result['probabilities']['nll'] < result['members']['nll']
    assert result['logits']['nll'] < result['members']['nll']


def test_a_single_models_logits_are_refused():
    with pytest.raises(UserError, match='models, examples, classes'):
        ensemble({'test': np.zeros((4, 2))}, {'test': np.zeros(4, int)})
