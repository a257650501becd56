import logging
import re

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.check_source import check_needs, check_source
from kd_jax.data.sources import Source

IMAGE, LABEL = np.zeros((4, 3, 3), np.uint8), np.array([0, 1, 2, 1])


def source(train=None, test=None, **options):
    arrays = {'image': IMAGE, 'label': LABEL}
    return Source({**arrays, **(train or {})}, {**arrays, **(test or {})}, **options)


@pytest.mark.parametrize(
    ('loaded', 'message'),
    [
        ((1, 2), 'c: the source returned a tuple, but it must return a kd_jax.data.sources.Source.'),
        (Source({}, {}), 'c: the source has no training examples.'),
        (Source({'x': LABEL[:0]}), 'c: the source has no training examples.'),
        (Source(LABEL), 'c: the training examples are a ndarray, but they must be a dictionary of arrays, such as'),
        (source({'id': LABEL}), "a training array is called 'id', but batch.id is the number of an example; give it"),
        (source({1: LABEL}), 'c: a training array is called 1, but a name must be a text without a dot.'),
        (source({'token': LABEL + 2**40}), 'c: the training tokens hold 1099511627776, which does not fit into the'),
        (source({'target': LABEL * 1e39}), 'c: the training targets hold 2e+39, which does not fit into the 32 bits'),
        (source(test={'image': IMAGE / 255}), 'images have type uint8 in the training arrays but float64 in the test'),
        (source({'scale': np.float32(2)}), 'c: the training scale is a float32, but it must be a NumPy array with an'),
        (
            source({'score': np.ma.masked_array(LABEL)}),
            'c: the training score is a MaskedArray, but it must be a NumPy',
        ),
        (source({'names': [1, 2, 3, 4]}), 'c: the training names is a list, but it must be a NumPy array'),
        (source(num_classes=0), 'c.num_classes is 0, but it must be a whole number, 1 or more.'),
        (source(num_classes=2), 'c, training labels: 2 (example 2, 1 in all) is not in [0, 2).'),
        (source({'label': LABEL / 2}, num_classes=3), 'targets that are no classes need no num_classes'),
        (source({'depth': np.zeros(3)}), "c: the training arrays must have one length, but they have {'image': 4, "),
        (source({'teacher': np.full((4, 2), np.nan)}), 'c: some of the training teachers are NaN or infinite.'),
        (source({'name': np.array(list('abcd'))}), 'c: the training names have type <U1, but they must be numbers.'),
        (source(test={'image': IMAGE[:, :2]}), 'image has shape [3, 3] in the training arrays but [2, 3] in the test'),
        (source(valid={'image': IMAGE[:, 1:], 'label': LABEL}), 'but [2, 3] in the validation arrays.'),
        (source({'image': IMAGE.astype(np.int64)}), 'c: the training images have type int64, but they must be uint8'),
        (source(test={'image': IMAGE.astype(np.uint16)}), 'c: the test images have type uint16'),
    ],
)
def test_arrays_that_would_fail_later_are_refused(loaded, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_source(loaded, 'c')


def test_labels_are_classes_only_if_the_source_says_how_many():
    for label in (LABEL + 5, LABEL / 2, np.zeros((4, 3, 3), int)):
        check_source(source({'label': label}, {'label': label}), 'c')


def test_float_images_far_outside_0_and_1_get_a_warning(caplog):
    caplog.set_level(logging.WARNING)
    for largest, place in ((2.5, 'quiet'), (255, 'loud')):
        image = np.full((4, 3, 3), largest, np.float32)
        check_source(source({'image': image}, {'image': image / 255}), place)
    assert [record.message.split(';')[0] for record in caplog.records] == [
        'loud: the training images are floats up to 255'
    ]


@pytest.mark.parametrize(
    ('options', 'augmentations', 'loaded', 'message'),
    [
        ({'classes': (1,)}, {}, source(), 'c.classes needs the number of classes; set data.num_classes=3'),
        ({'label_noise': 0.1}, {}, Source({'x': LABEL}, {}), "c.label_noise needs classes, but the data of 's' has no"),
        ({}, {'mixup': 1.0}, source(), 'c.augment.mixup needs the number of classes; set data.num_classes=3'),
        (
            {'label_noise': 0.1},
            {},
            source({'label': np.array([0, 255, 1], np.uint8)}),
            'c.label_noise needs the number of classes; set data.num_classes=256 ',
        ),
        ({}, {'flip': True}, Source({'x': LABEL}, {}), "c.augment.flip changes images, but the data of 's' has no"),
        ({}, {'flip': True}, source({'image': IMAGE[:, 0]}), 'c.augment.flip needs images [height, width, ...], but'),
        ({}, {'crop': 3}, source(), 'c shifts images by up to 3 pixels, but they are [3, 3]; reduce the shift.'),
        (
            {},
            {'cutmix': 1.0, 'moves': {'mask': 0}},
            source(num_classes=3),
            "c.augment.cutmix changes images, but not 'mask', which is laid out like them; leave cutmix out",
        ),
    ],
)
def test_what_an_option_needs_of_the_data_is_said(options, augmentations, loaded, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_needs({'source': 's', **options}, loaded, augmentations, 'c')


def test_unsigned_numbers_of_32_bits_are_no_mistake():
    check_source(source({'seed': np.array([0, 1, 2, 2**32 - 1], np.uint32)}), 'c')
