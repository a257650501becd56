import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.report.paired_difference import holm, paired_difference


def test_mean_variances_and_interval_of_two_seeds_and_two_examples_by_hand():
    found = paired_difference(np.array([[1, 1], [1, 0]]), np.array([[0, 0], [0, 0]]))
    # Means of the seeds 1 and 1/2, of the examples 1 and 1/2: each has the variance 1/8, over two of them 1/16.
    assert (found.mean, found.over_seeds, found.over_examples) == (0.75, 0.0625, 0.0625)
    # Satterthwaite: (1/8)^2 / (1/256 + 1/256) = 2. Student's t with 2 degrees: 4.3027 * sqrt(1/8) = 1.5212.
    assert found.degrees == pytest.approx(2.0)
    assert found.interval == pytest.approx((0.75 - 1.5212, 0.75 + 1.5212), abs=1e-4)
    # With 2 degrees of freedom, P(|T| > t) = 1 - t / sqrt(2 + t^2), here for t = 0.75 * sqrt(8).
    assert found.p_value == pytest.approx(1 - np.sqrt(4.5 / 6.5))


def test_with_seeds_that_agree_it_is_the_test_of_pairs_and_with_examples_that_agree_that_of_seeds():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, 50))
    same_seeds = paired_difference(np.repeat(one, 3, axis=0), np.zeros((3, 50)))
    assert same_seeds.over_seeds == pytest.approx(0, abs=1e-30)
    assert same_seeds.standard_error == pytest.approx(one.std(ddof=1) / np.sqrt(50))
    assert same_seeds.degrees == pytest.approx(49)
    three = np.array([[0.1], [0.2], [0.6]])
    same_examples = paired_difference(np.repeat(three, 50, axis=1), np.zeros((3, 50)))
    assert same_examples.standard_error == pytest.approx(three.std(ddof=1) / np.sqrt(3))
    assert same_examples.degrees == pytest.approx(2)


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
    # 95%, with a standard error of 0.6%; the rest, which counts twice, makes it more.
    assert 0.93 < np.mean(covered) < (0.97 if shares[2] == 0 else 0.99)


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
