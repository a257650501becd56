import numpy as np
import pytest

from kd_jax.analyses import confusable_classes
from kd_jax.analyses.confusable_classes import online_k_means
from kd_jax.analyses.predictions import log_softmax
from kd_jax.config.errors import UserError

GROUPS = np.array([0, 1, 2, 3, 4, 2, 0, 4, 3, 1])


def generalist(strength, confusion, examples=6000):
    """Logits of a model that confuses the classes of a group; `strength` is how sure it is of each class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(GROUPS), examples)
    logits = rng.normal(size=(examples, len(GROUPS)))
    logits += confusion * rng.random((examples, 1)) * (GROUPS[labels][:, None] == GROUPS)
    logits[np.arange(examples), labels] += np.broadcast_to(strength, GROUPS.shape)[labels]
    return {'valid': logits}


PAIRS = sorted(np.flatnonzero(group == GROUPS).tolist() for group in range(5))


def test_confused_pairs_of_equally_hard_classes_share_a_subset():
    result = confusable_classes(generalist(strength=3.0, confusion=3.0), clusters=5, size=2)
    assert sorted(result['subsets']) == PAIRS
    assert result['coverage'] == [0, 10]
    for a, b in PAIRS:
        assert result['assignment'][a] == result['assignment'][b]


def test_correlation_finds_confused_pairs_although_some_classes_are_harder():
    logits = generalist(strength=np.linspace(2.0, 5.0, 10), confusion=3.0)
    result = confusable_classes(logits, clusters=5, size=2, scale='correlation')
    assert sorted(result['subsets']) == PAIRS


def test_a_temperature_brings_out_what_a_sure_generalist_confuses():
    logits = generalist(strength=7.0, confusion=2.0)
    assert np.exp(log_softmax(logits['valid'])).max(axis=-1).mean() > 0.98
    cold = confusable_classes(logits, clusters=5, size=2, scale='correlation')
    warm = confusable_classes(logits, clusters=5, size=2, t=3.0, scale='correlation')
    assert sorted(cold['subsets']) != PAIRS
    assert sorted(warm['subsets']) == PAIRS


def test_subsets_are_equal_in_size_and_cover_as_counted():
    result = confusable_classes(generalist(strength=3.0, confusion=3.0), clusters=4, size=3)
    assert [len(set(subset)) for subset in result['subsets']] == [3, 3, 3, 3]
    assert all(subset == sorted(subset) for subset in result['subsets'])
    times = [sum(c in subset for subset in result['subsets']) for c in range(10)]
    assert result['coverage'] == [times.count(k) for k in range(max(times) + 1)]


def test_equal_seeds_give_equal_subsets():
    logits = generalist(strength=2.0, confusion=0.5, examples=300)
    assert confusable_classes(logits, clusters=4, size=3, seed=3) == confusable_classes(
        logits, clusters=4, size=3, seed=3
    )


def test_centres_are_the_means_of_their_points():
    points = np.random.default_rng(0).normal(size=(40, 3))
    assignment, centres = online_k_means(points, 6, np.random.default_rng(1))
    for k in range(6):
        np.testing.assert_allclose(centres[k], points[assignment == k].mean(axis=0), atol=1e-12)


def test_no_single_move_lowers_the_sum_of_squares():
    points = np.random.default_rng(0).normal(size=(15, 2))
    assignment, _ = online_k_means(points, 3, np.random.default_rng(1))

    def spread(clusters):
        parts = [points[clusters == k] for k in set(clusters)]
        return sum(np.square(part - part.mean(axis=0)).sum() for part in parts)

    for i in range(15):
        for k in range(3):
            moved = assignment.copy()
            moved[i] = k
            assert spread(moved) >= spread(assignment) - 1e-12


def test_as_many_clusters_as_points_leave_every_point_alone():
    points = np.ones((4, 2))
    assignment, _ = online_k_means(points, 4, np.random.default_rng(0))
    assert sorted(assignment) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'clusters': 11, 'size': 2}, 'clusters is 11'),
        ({'clusters': 0, 'size': 2}, 'clusters is 0'),
        ({'clusters': 2, 'size': 10}, 'size is 10'),
        ({'clusters': 2, 'size': 0}, 'size is 0'),
        ({'clusters': 2, 'size': 2, 't': 0.0}, 't is 0'),
        ({'clusters': 2, 'size': 2, 'scale': 'cov'}, "scale is 'cov'"),
        ({'clusters': 2, 'size': 2, 'split': 'vald'}, "Did you mean 'valid'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        confusable_classes(generalist(strength=3.0, confusion=3.0, examples=20), **options)
