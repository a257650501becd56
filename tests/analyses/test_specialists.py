import numpy as np
import pytest

from kd_jax.analyses import specialists
from kd_jax.analyses.specialists import combined_logits, undo_oversampling
from kd_jax.config.errors import UserError


def softmax(logits):
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def combine(p_general, p_special, subsets, active=None, **options):
    """The combined probabilities of one image, from those of the generalist and of each specialist."""
    active = np.ones(len(subsets), bool) if active is None else np.array(active)
    z = combined_logits(np.log(p_general)[None], np.log(p_special)[:, None], np.array(subsets), active[None], **options)
    return softmax(np.asarray(z, np.float64))[0]


def divergence(q, p_general, p_special, subsets):
    total = np.sum(p_general * np.log(p_general / q), axis=-1)
    for p, subset in zip(p_special, subsets, strict=True):
        outside = np.delete(q, subset, axis=-1).sum(axis=-1)
        total = total + np.sum(p[:-1] * np.log(p[:-1] / q[..., subset]), axis=-1)
        total = total + p[-1] * np.log(p[-1] / outside)
    return total


def test_the_generalists_own_restriction_leaves_it_as_it_is():
    p = np.array([0.5, 0.2, 0.2, 0.1])
    np.testing.assert_allclose(combine(p, [np.array([0.5, 0.2, 0.3])], [[0, 1]]), p, atol=1e-6)


def test_one_specialist_is_averaged_and_its_dustbin_spread_like_the_generalist():
    # By Lagrange: q = (p_g + p_m) / 2 in the subset. Outside it q has the mean mass, distributed as in the generalist.
    p, special = np.array([0.5, 0.2, 0.2, 0.1]), np.array([0.1, 0.8, 0.1])
    q = combine(p, [special], [[0, 1]])
    np.testing.assert_allclose(q, [0.3, 0.5, 0.2 * 2 / 3, 0.2 / 3], atol=1e-6)


def test_two_classes_by_hand():
    # The specialist knows class 0, its dustbin is class 1: three distributions over the same two outcomes.
    q = combine(np.array([0.9, 0.1]), np.array([[0.4, 0.6], [0.2, 0.8]]), [[0], [0]])
    np.testing.assert_allclose(q, [0.5, 0.5], atol=1e-6)


def test_descent_reaches_the_best_point_of_a_grid():
    p = np.array([0.6, 0.25, 0.15])
    special, subsets = np.array([[0.2, 0.7, 0.1], [0.3, 0.3, 0.4]]), [[0, 1], [1, 2]]
    ticks = np.arange(1, 200) / 200
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    grid = np.concatenate([grid, 1 - grid.sum(-1, keepdims=True)], axis=-1)
    grid = grid[grid[:, 2] > 1e-9]
    values = divergence(grid, p, special, subsets)
    q = combine(p, special, subsets)
    np.testing.assert_allclose(q, grid[values.argmin()], atol=1 / 200)
    assert divergence(q, p, special, subsets) <= values.min()


@pytest.mark.parametrize('sureness', [1.0, 5.0, 15.0])
def test_descent_reaches_a_point_where_q_is_what_the_models_ask_for(sureness):
    # At the minimum q is the mean of the models' probabilities, with each dustbin distributed like q itself.
    rng = np.random.default_rng(0)
    general, special = sureness * rng.normal(size=(30, 12)), sureness * rng.normal(size=(4, 30, 6))
    subsets = np.stack([rng.permutation(12)[:5] for _ in range(4)])
    active = rng.random((30, 4)) < 0.6
    q = softmax(np.asarray(combined_logits(general, special, subsets, active), np.float64))
    asked, p_special = softmax(general), softmax(special)
    for m, subset in enumerate(subsets):
        outside = np.setdiff1d(np.arange(12), subset)
        spread = np.zeros_like(q)
        spread[:, subset] = p_special[m, :, :-1]
        spread[:, outside] = p_special[m, :, -1:] * q[:, outside] / q[:, outside].sum(-1, keepdims=True)
        asked += active[:, m, None] * spread
    np.testing.assert_allclose(q, asked / (1 + active.sum(-1, keepdims=True)), atol=1e-6)


def test_without_an_active_specialist_the_logits_are_the_generalists_own():
    rng = np.random.default_rng(0)
    general = rng.normal(size=(5, 4)).astype(np.float32)
    z = combined_logits(general, rng.normal(size=(2, 5, 3)), np.array([[0, 1], [1, 2]]), np.zeros((5, 2), bool))
    np.testing.assert_array_equal(z, general)


def test_the_order_of_a_subset_is_the_order_of_the_specialists_logits():
    p, special = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(combine(p, [special], [[3, 1]]), combine(p, [special[[1, 0, 2]]], [[1, 3]]), atol=1e-6)


def test_correcting_the_dustbin_gives_bayes_posterior():
    prior = np.array([0.05, 0.15, 0.5, 0.3])
    likelihood = np.array([0.2, 0.01, 0.1, 0.05])
    joint = prior * likelihood
    posterior = np.array([joint[0], joint[1], joint[2] + joint[3]]) / joint.sum()
    # Half of the training examples come from {0, 1}, which is a fifth of the data; the other half from the rest.
    trained_prior = prior * np.array([0.5 / 0.2] * 2 + [0.5 / 0.8] * 2)
    trained = trained_prior * likelihood
    logits = np.log([trained[0], trained[1], trained[2] + trained[3]])
    corrected = undo_oversampling(logits[None, None], np.array([(1 - 0.2) / 0.2]))
    np.testing.assert_allclose(softmax(corrected)[0, 0], posterior)


def example():
    """Five images of four classes, and two specialists for {0, 1} and {1, 2}.

    The generalist classifies the first image, a 1, as a 0; the first specialist corrects it. It classifies the last
    image, a 2, as a 3, for which no specialist is active.
    """
    labels = np.array([1, 0, 2, 3, 2])
    general = np.log([
        [0.50, 0.40, 0.05, 0.05],
        [0.70, 0.10, 0.10, 0.10],
        [0.10, 0.10, 0.70, 0.10],
        [0.10, 0.10, 0.10, 0.70],
        [0.05, 0.05, 0.40, 0.50],
    ])  # fmt: skip
    special = np.log(
        [
            [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8]],
            [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]],
        ]
    )
    return {'test': general}, {'test': special}, {'test': labels}


def test_scores_by_hand():
    result = specialists(*example(), subsets=[[0, 1], [1, 2]])['test']
    assert result['examples'] == 5
    assert result['generalist'] == {'accuracy': pytest.approx(0.6), 'errors': 2}
    assert result['combined'] == {'accuracy': pytest.approx(0.8), 'errors': 1}
    assert result['relative_accuracy_gain'] == pytest.approx(1 / 3)
    assert result['relative_error_reduction'] == pytest.approx(1 / 2)
    assert result['without_specialist'] == 2
    # Class 3 is in no subset, classes 0 and 2 are in one each, and class 1 is in both.
    names = ('covering', 'examples', 'delta_errors', 'generalist_accuracy', 'combined_accuracy')
    assert [tuple(row[name] for name in names) for row in result['covering']] == [
        (0, 1, 0, 1.0, 1.0),
        (1, 3, 0, pytest.approx(2 / 3), pytest.approx(2 / 3)),
        (2, 1, -1, 0.0, 1.0),
    ]
    assert [row['relative_accuracy_change'] for row in result['covering']] == [0.0, 0.0, None]


def test_conditional_accuracy_counts_pairs_of_specialist_and_image():
    result = specialists(*example(), subsets=[[0, 1], [1, 2]])['test']['conditional_accuracy']
    # Five pairs: images 0 and 1 for {0, 1}; images 0, 2 and 4 for {1, 2}. Restricted to {0, 1}, the generalist
    # classifies image 0 as a 0; restricted to {1, 2}, it classifies image 4 as a 2, which is right.
    assert result == {
        'generalist': pytest.approx(4 / 5),
        'combined': 1.0,
        'specialist': 1.0,
    }


def test_oversampling_may_be_one_number_or_one_for_each_specialist():
    one = specialists(*example(), subsets=[[0, 1], [1, 2]], oversampling=400.0)
    each = specialists(*example(), subsets=[[0, 1], [1, 2]], oversampling=[400.0, 400.0])
    assert one == each
    # The specialist gives image 0 to its dustbin, so the generalist's error remains.
    assert one['test']['combined']['errors'] == 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'subsets': [[0, 1], [1]]}, r'sizes \[2, 1\]'),
        ({'subsets': [0, 1]}, 'list of lists'),
        ({'subsets': [[0, 1], [1, 4]]}, r'subset 1 are \[1, 4\]'),
        ({'subsets': [[0, 1], [2, 2]]}, 'each once'),
        ({'subsets': [[0, 1]]}, 'shape'),
        ({'subsets': [[0, 1, 2], [1, 2, 3]]}, 'shape'),
        ({'subsets': [[0, 1], [1, 2]], 'oversampling': [2.0]}, 'oversampling'),
        ({'subsets': [[0, 1], [1, 2]], 'oversampling': 0.0}, 'oversampling'),
        ({'subsets': [[0, 1], [1, 2]], 'learning_rate': 1.5}, 'learning_rate'),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        specialists(*example(), **options)
