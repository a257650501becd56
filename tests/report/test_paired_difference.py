import dataclasses

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from kd_jax.config.errors import UserError
from kd_jax.report.paired_difference import PairedDifference, holm, paired_difference


def test_mean_variances_and_interval_of_two_seeds_and_two_examples_by_hand():
    found = paired_difference(np.array([[1, 1], [1, 0]]), np.array([[0, 0], [0, 0]]))
    # Means of the seeds 1 and 1/2, of the examples 1 and 1/2: each has the variance 1/8, over two of them 1/16.
    assert (found.mean, found.over_seeds, found.over_examples) == (0.75, 0.0625, 0.0625)
    # Student's t with 1 degree of freedom, for seeds and for examples alike: 12.7062 * sqrt(1/8) = 4.4923.
    assert found.interval == pytest.approx((0.75 - 4.4923, 0.75 + 4.4923), abs=1e-4)
    # With 1 degree of freedom, P(|T| > t) = 1 - 2 atan(t) / pi, here for t = 0.75 * sqrt(8).
    assert found.p_value == pytest.approx(1 - 2 * np.arctan(np.sqrt(4.5)) / np.pi)


def test_the_critical_value_is_the_mean_of_those_of_seeds_and_examples_weighted_by_their_variances():
    found = PairedDifference(mean=1.0, over_seeds=0.09, over_examples=0.03, seeds=3, examples=10_001)
    # Student's t: 4.3027 with 2 degrees of freedom, 1.9602 with 10,000. Standard error: sqrt(0.12).
    half = (3 * 4.3027 + 1.9602) / 4 * np.sqrt(0.12)
    assert found.interval == pytest.approx((1 - half, 1 + half), abs=1e-4)
    edge = dataclasses.replace(found, mean=half)  # its interval ends at zero, so it is exceeded in 5% of cases
    assert edge.p_value == pytest.approx(0.05, abs=1e-5)
    assert found.p_value > 0.05  # 1 / sqrt(0.12) = 2.887 is less than 3.717


def test_very_large_and_small_differences_have_p_values():
    large = PairedDifference(mean=1.0, over_seeds=1e-9, over_examples=1e-7, seeds=3, examples=5000)
    # Student's t with 2 degrees of freedom falls as 1 / t^2, so the seeds decide: 2 t^2 p = 1 where t is large.
    assert 0 < large.p_value < 1e-5
    assert PairedDifference(0.0, 0.1, 0.1, 3, 5000).p_value == pytest.approx(1)
    assert PairedDifference(0.0, 0.0, 0.0, 3, 5000).interval == (0, 0)


def test_with_seeds_that_agree_it_is_the_test_of_pairs_and_with_examples_that_agree_that_of_seeds():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, 50))
    same_seeds = paired_difference(np.repeat(one, 3, axis=0), np.zeros((3, 50)))
    assert same_seeds.over_seeds == pytest.approx(0, abs=1e-30)
    assert same_seeds.standard_error == pytest.approx(one.std(ddof=1) / np.sqrt(50))
    assert same_seeds.p_value == pytest.approx(ttest_1samp(one[0], 0).pvalue)
    three = np.array([[0.1], [0.2], [0.6]])
    same_examples = paired_difference(np.repeat(three, 50, axis=1), np.zeros((3, 50)))
    assert same_examples.standard_error == pytest.approx(three.std(ddof=1) / np.sqrt(3))
    assert same_examples.p_value == pytest.approx(ttest_1samp(three[:, 0], 0).pvalue)


def test_it_is_the_limit_of_a_bootstrap_that_draws_seeds_and_examples_at_once():
    rng = np.random.default_rng(0)
    gain = rng.normal(size=(4, 30)) + rng.normal(size=(4, 1)) + rng.normal(size=30)
    found = paired_difference(gain, np.zeros_like(gain))
    means = [gain[rng.integers(4, size=4)][:, rng.integers(30, size=30)].mean() for _ in range(8000)]
    rest = gain - gain.mean(axis=0) - gain.mean(axis=1, keepdims=True) + gain.mean()
    expected = 3 / 4 * found.over_seeds + 29 / 30 * found.over_examples + (rest**2).sum() / (4 * 30) ** 2
    assert np.var(means) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize('shares', [(1, 0, 0), (1, 1, 0), (1, 0.5, 0.5), (0, 1, 0), (0.2, 1, 0.3)])
def test_intervals_cover_the_truth_as_often_as_they_say(shares):
    """`shares`: variances of the mean from seeds, examples, and both together."""
    rng, seeds, examples = np.random.default_rng(0), 3, 40
    sizes = np.sqrt(np.multiply(shares, (seeds, examples, seeds * examples)))
    covered = []
    for _ in range(1500):
        drawn = [rng.normal(size=shape) for shape in ((seeds, 1), (1, examples), (seeds, examples))]
        gain = 0.3 + sum(size * each for size, each in zip(sizes, drawn, strict=True))
        low, high = paired_difference(gain, np.zeros_like(gain)).interval
        covered.append(low < 0.3 < high)
    # 95%, with a standard error of 0.6%. More where both vary: three seeds that lie apart by chance weigh more. And the
    # rest counts twice.
    assert 0.93 < np.mean(covered) < (0.97 if shares in ((1, 0, 0), (0, 1, 0)) else 0.99)


@pytest.mark.parametrize('ratio', [0.3, 1.0, 2.4, 4.4, 7.4, 30.0])
def test_small_p_values_come_as_seldom_as_they_say(ratio):
    """`ratio`: the variance of the mean that three seeds bring, over that of 5,000 examples; no true difference."""
    rng, level = np.random.default_rng(0), 0.05 / 15
    means = rng.normal(size=20_000) * np.sqrt(ratio + 1)
    found = [
        PairedDifference(mean, ratio * estimate, 1.0, 3, 5000).p_value < level
        for mean, estimate in zip(means, rng.chisquare(2, size=means.size) / 2, strict=True)
    ]
    # The standard error is 0.0004. With degrees of freedom after Satterthwaite it is up to 0.022.
    assert np.mean(found) < 2 * level


def test_percentiles_of_a_bootstrap_over_three_seeds_would_cover_it_too_rarely():
    rng = np.random.default_rng(0)
    draws = rng.integers(3, size=(400, 3))
    covered = []
    for _ in range(500):
        low, high = np.percentile(rng.normal(size=3)[draws].mean(axis=1), [2.5, 97.5])
        covered.append(low < 0 < high)
    assert np.mean(covered) < 0.8  # the probability that 0 lies between the lowest and the highest is 3/4


def test_swapping_the_runs_changes_the_sign_and_nothing_else():
    one, two = np.random.default_rng(0).integers(2, size=(2, 3, 20))
    forth, back = paired_difference(one, two), paired_difference(two, one)
    assert forth.mean == -back.mean
    assert forth.p_value == back.p_value
    assert forth.interval == tuple(-end for end in reversed(back.interval))


def test_equal_runs_do_not_differ():
    same = paired_difference(np.eye(3), np.eye(3))
    assert (same.mean, same.interval, same.p_value) == (0.0, (0.0, 0.0), 1.0)


@pytest.mark.parametrize('shapes', [((3, 5), (3, 4)), ((1, 5), (1, 5)), ((5,), (5,))])
def test_arrays_that_do_not_belong_together_are_one_sentence(shapes):
    with pytest.raises(UserError, match='needs two arrays'):
        paired_difference(*map(np.zeros, shapes))


def test_holms_correction_by_hand():
    # In order: 0.01 * 4 = 0.04; 0.015 * 3 = 0.045; 0.02 * 2 = 0.04, raised to 0.045; 0.9 * 1.
    assert holm([0.9, 0.01, 0.02, 0.015]) == pytest.approx([0.9, 0.04, 0.045, 0.045])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holms_correction_finds_something_false_in_one_of_twenty_families():
    rng = np.random.default_rng(0)
    found = [min(holm(rng.uniform(size=10).tolist())) < 0.05 for _ in range(4000)]
    # For independent p-values the probability is 1 - (1 - 0.05 / 10)^10 = 0.0489, standard error 0.0034.
    assert np.mean(found) == pytest.approx(0.0489, abs=0.011)
