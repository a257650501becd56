"""Embeddings and those of their teacher."""

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.evaluation import embeddings
from kd_jax.evaluation.embeddings import embedding_statistics, embedding_values

RNG = np.random.default_rng(0)
TEACHER = RNG.normal(size=(40, 6)).astype(np.float32)


def test_the_cosine_by_hand():
    # (3, 4) and (4, 3): 24 / 25. (1, 0) and (0, -2): 0.
    found = embeddings(np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[4.0, 3.0], [0.0, -2.0]]))
    assert found['cosine'] == pytest.approx(24 / 50)
    assert found['count'] == 2


def test_neighbours_by_hand():
    # Angles of 0, 10, 30 to 34 and 90 to 98 degrees; the teacher has the first one at 98 degrees, and 12 others as they
    # are. Of 13 examples, each has ten nearest and two that are not.
    def vectors(degrees):
        return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], -1)

    own = np.array([0.0, 10, 31, 32.1, 33.3, 34.6, 40.2, 90, 91.1, 92.3, 93.6, 95, 97])
    wanted = np.array([98.5, *own[1:]])

    def nearest(degrees, i):
        order = sorted((abs(degrees[i] - other), j) for j, other in enumerate(degrees) if j != i)
        return {j for _, j in order[:10]}

    share = np.mean([len(nearest(own, i) & nearest(wanted, i)) / 10 for i in range(13)])
    assert embeddings(vectors(own), vectors(wanted))['neighbours'] == pytest.approx(share)
    assert share < 1


def test_rotation_and_scale_keep_neighbours_and_a_rotation_loses_the_cosine():
    rotation, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    found = embeddings(3 * TEACHER @ rotation, TEACHER)
    assert found['neighbours'] == 1
    assert found['cosine'] < 0.9
    same = embeddings(TEACHER, TEACHER)
    assert same['neighbours'] == 1
    assert same['cosine'] == pytest.approx(1)


def test_another_dimension_has_neighbours_and_no_cosine():
    wider = np.concatenate([TEACHER, np.zeros((40, 2))], axis=1)
    assert embeddings(wider, TEACHER) == {'count': 40, 'neighbours': 1.0}


def test_batches_and_padding_do_not_change_the_numbers():
    own = (TEACHER + RNG.normal(size=TEACHER.shape)).astype(np.float32)
    rows = [(slice(0, 25), 25), (slice(15, 40), 15)]  # the second batch begins with ten rows of padding
    parts = [embedding_statistics(own[r], TEACHER[r], where=np.arange(25) >= 25 - n) for r, n in rows]
    stacked = {name: np.stack([np.asarray(part[name]) for part in parts])[:, None] for name in parts[0]}
    assert embedding_values(stacked) == pytest.approx(embeddings(own, TEACHER))


@pytest.mark.parametrize('rows', [slice(None), slice(3, 4)])
def test_embeddings_that_are_nan_have_no_neighbours(rows):
    spoilt = TEACHER.copy()
    spoilt[rows] = np.nan
    for own, teacher in ((spoilt, TEACHER), (TEACHER, spoilt)):
        found = embeddings(own, teacher)
        assert np.isnan(found['neighbours'])
        assert np.isnan(found['cosine'])
    padded = embedding_statistics(spoilt, TEACHER, where=~np.isnan(spoilt).any(-1))
    if rows != slice(None):
        assert embedding_values({k: np.asarray(a)[None, None] for k, a in padded.items()})['neighbours'] == 1


def test_one_example_has_no_neighbours_and_no_vectors_are_refused():
    assert np.isnan(embeddings(TEACHER[:1], TEACHER[:1])['neighbours'])
    with pytest.raises(UserError, match=r'the teacher must be \[batch, dim\], not \[40\]'):
        embeddings(TEACHER, TEACHER[:, 0])
