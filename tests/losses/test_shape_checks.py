"""Arguments whose shapes do not fit together are refused in one sentence."""

import numpy as np
import pytest

from kd_jax import losses
from kd_jax.config.errors import UserError

ONE_OUTPUT = (('kd', 2), ('cross_entropy', 2), ('hard_kd', 2), ('dkd', 3), ('dist', 2))
OPTIONS = {'kd': {'shares': (1.0, 1.0, 1.0)}, 'crd': {'examples': 9}}


@pytest.mark.parametrize(
    ('loss', 'shapes', 'message'),
    [
        ('attention_transfer', [(2, 8, 8, 3), (2, 4, 4, 3)], "student's maps are 8 x 8 and the teacher's 4 x 4"),
        ('nst', [(2, 5), (2, 5)], r'needs feature maps \[batch, height, width, channels\], not \[2, 5\]'),
        ('mse', [(2, 8, 8, 3), (2, 4, 6, 3)], r'put a connector of size=\(4, 6\) between them'),
        ('mse', [(2, 5), (2, 1)], r"shape is \[2, 5\] and the teacher's \[2, 1\]: put a connector between them"),
        ('vid', [(2, 5), (2, 5), (2, 6)], r"teacher's \[2, 6\]: put a connector"),
        ('ickd', [(2, 4, 4, 3), (2, 4, 4, 5)], 'student has 3 channels and the teacher 5'),
        ('kdsvd', [(2, 4, 4, 3)] * 3 + [(2, 4, 4, 5)], 'put a connector between them'),
        ('dkd', [(2, 3), (2, 4), (2,)], 'student has 3 classes and the teacher 4'),
        ('dist', [(2, 3), (2, 4)], 'student has 3 classes and the teacher 4'),
        ('mlld', [(2, 5, 3), (2, 5, 3)], r'needs logits \[batch, num_classes\]'),
        ('kendall', [(2, 3), (2, 4)], 'student has 3 classes and the teacher 4'),
        ('hard_kd', [(2, 3), (2, 4)], 'student has 3 classes and the teacher 4'),
        ('kd', [(2, 3), (2, 2, 3)], 'needs one number for each of several teachers'),
        ('confident_kd', [(2, 3), (2, 3), (2,)], 'needs several teachers'),
        ('gated_kd', [(2, 3), (2, 2, 3), (2, 3)], 'there are 2 teachers, but 3 weights'),
        ('crd', [(2, 3), (2, 3), (2, 4)], r'negatives have shape \[2, 4\]'),
        ('info_nce', [(2, 3), (2, 4)], 'put a connector between them'),
        ('bce', [(2, 3), (2, 4)], r'the logits have shape \[2, 3\], but the target \[2, 4\]'),
        ('bce', [(3,), (2, 3)], r'the logits have shape \[3\], but the target \[2, 3\]'),
        ('bce_kd', [(2, 3), (2, 4)], r"but the teacher's logits \[2, 4\]"),
        *[(loss, [(5, 1), (5, 1), (5,)][:n], 'the softmax of a single output is always 1') for loss, n in ONE_OUTPUT],
    ],
)
def test_shapes_that_do_not_fit_together_are_refused_in_one_sentence(loss, shapes, message):
    with pytest.raises(UserError, match=message):
        getattr(losses, loss)(*[np.zeros(shape, np.float32) for shape in shapes], **OPTIONS.get(loss, {}))


@pytest.mark.parametrize(
    'weights', [(1.0, 1.0), (1.0, -1.0, 1.0), (0.0, 0.0, 0.0), (1.0, float('nan'), 1.0), (1, 'a', 1)]
)
@pytest.mark.parametrize('loss', ['cross_entropy', 'bce', 'bce_kd'])
def test_class_weights_must_be_one_number_for_each_class(loss, weights):
    with pytest.raises(UserError, match='needs one number for each of the 3 classes, at least 0 and not all 0'):
        getattr(losses, loss)(np.zeros((2, 3)), np.zeros((2, 3)), class_weights=weights)
