import numpy as np
import pytest

from kd_jax.analyses import soft_targets
from kd_jax.config.errors import UserError

# Images 0 to 4 are 2s; image 5 is a 3. The teacher is wrong about image 3, which it classifies as a 3.
PROBABILITIES = np.array([
    [0.01, 0.01, 0.95, 0.03],
    [0.01, 0.01, 0.60, 0.38],
    [0.01, 0.30, 0.68, 0.01],
    [0.01, 0.01, 0.40, 0.58],
    [0.01, 0.10, 0.79, 0.10],
    [0.01, 0.01, 0.02, 0.96],
])  # fmt: skip
LOGITS = {'test': np.log(PROBABILITIES)}
LABELS = {'test': np.array([2, 2, 2, 2, 2, 3])}
IMAGES = {'test': np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)}


def chosen(**options):
    result = soft_targets(LOGITS, LABELS, IMAGES, resembling=(3, 1), examples_each=1, **options)
    return [(example['id'], example['why']) for example in result['examples']]


def test_the_chosen_images_resemble_the_classes_asked_for():
    assert chosen() == [
        (1, 'a 2 that looks like a 3'),
        (2, 'a 2 that looks like a 1'),
        (0, 'an ordinary 2'),
    ]


def test_all_other_classes_may_be_resembled():
    # Of three classes, those other than 0 are all that a 0 can resemble.
    logits = {'test': np.log([[0.6, 0.3, 0.1], [0.6, 0.1, 0.3], [0.8, 0.1, 0.1]])}
    images = {'test': np.zeros((3, 2, 2), np.uint8)}
    result = soft_targets(logits, {'test': np.zeros(3, int)}, images, label=0, resembling=(1, 2), examples_each=1)
    assert [example['id'] for example in result['examples']] == [0, 1, 2]


def test_an_image_is_taken_once_though_it_resembles_both_classes():
    result = soft_targets(LOGITS, LABELS, IMAGES, resembling=(3, 1), examples_each=2)['examples']
    # By probability of a 3: images 1, 4, 0, 2. By probability of a 1, of those left: 2, 0. No ordinary 2 is left.
    assert [example['id'] for example in result] == [1, 4, 2, 0]
    assert [example['why'][-1] for example in result] == ['3', '3', '1', '1']


def test_predictions_are_softened_at_every_temperature():
    result = soft_targets(LOGITS, LABELS, IMAGES, temperatures=(1.0, 2.0), resembling=(3,))
    first = result['examples'][0]
    assert result['temperatures'] == [1.0, 2.0]
    np.testing.assert_allclose(first['teacher'][0], PROBABILITIES[1])
    # At T = 2 probabilities are proportional to their square roots.
    roots = np.sqrt(PROBABILITIES[1])
    np.testing.assert_allclose(first['teacher'][1], roots / roots.sum())


def test_resemblance_is_ranked_at_the_given_temperature():
    # At T = 1 the second 2 has the higher probability of a 3 (0.32 > 0.30). At T = 4 its other classes gain more: the
    # fourth roots give 0.74 of 1.72 to the first and 0.75 of 2.77 to the second.
    logits = {'test': np.log([[1e-6, 1e-6, 0.7, 0.3], [0.14, 0.14, 0.4, 0.32]])}
    given = (logits, {'test': np.array([2, 2])}, {'test': IMAGES['test'][:2]})
    for t, first in ((1.0, 1), (4.0, 0)):
        result = soft_targets(*given, resembling=(3,), examples_each=1, t=t)
        assert result['examples'][0]['id'] == first


def test_a_float_between_two_grey_levels_is_rounded():
    images = {'test': np.full((6, 1, 1), 0.999)}
    result = soft_targets(LOGITS, LABELS, images, resembling=(3,))
    # 0.999 * 255 = 254.7
    assert result['examples'][0]['image'] == [[255]]


def test_images_come_back_as_grey_levels_from_bytes_and_from_floats():
    as_bytes = soft_targets(LOGITS, LABELS, IMAGES, resembling=(3,))
    as_floats = soft_targets(
        LOGITS, LABELS, {'test': (IMAGES['test'] / 255).astype(np.float32)[..., None]}, resembling=(3,)
    )
    assert as_bytes == as_floats
    assert as_bytes['examples'][0]['id'] == 1
    assert as_bytes['examples'][0]['image'] == [[4, 5], [6, 7]]


def test_eights_and_eighteens_take_an_article_of_their_own():
    logits = {'test': np.eye(19)[[8, 18]] + 0.5 * np.eye(19)[[18, 8]]}
    result = soft_targets(logits, {'test': np.array([8, 18])}, {'test': np.zeros((2, 1, 1))}, label=8, resembling=(18,))
    assert result['examples'][0]['why'] == 'an 8 that looks like an 18'


@pytest.mark.parametrize(
    ('images', 'options', 'message'),
    [
        (IMAGES, {'label': 1}, 'no image of class 1'),
        (IMAGES, {'resembling': (4,)}, r'numbered 0\.\.3'),
        (IMAGES, {'resembling': (2,)}, 'each once'),
        (IMAGES, {'temperatures': (1.0, 0.0)}, 'temperature'),
        ({'test': np.zeros((6, 2, 2, 3))}, {}, 'one channel'),
        ({'test': np.zeros((5, 2, 2))}, {}, r'\[6, height, width\]'),
        ({'test': np.full((6, 2, 2), -0.42)}, {}, 'not normalised'),
    ],
)
def test_what_cannot_be_shown_is_refused(images, options, message):
    with pytest.raises(UserError, match=message):
        soft_targets(LOGITS, LABELS, images, **{'resembling': (3,), **options})
