import re

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data import sources
from kd_jax.data.batches import batch_shapes, fetch_batch
from kd_jax.data.lazy_images import Images, central_box, random_box
from kd_jax.data.splits import load_splits


def ramp(height, width):
    """An image whose first two channels hold 200 times the relative position of each pixel: down, right."""
    down, right = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing='ij')
    return np.round(200 * np.stack([down, right, 0 * down], axis=-1)).astype(np.uint8)


def images(*arrays, **options):
    examples = [{'image': array, 'label': number} for number, array in enumerate(arrays)]
    return Images(examples, 'made', len(arrays), **{'size': 8, 'resize': 10, **options})


def test_the_central_square_is_the_share_of_the_shorter_side_that_size_is_of_resize():
    assert central_box(100, 50, 0.8) == (30.0, 5.0, 70.0, 45.0)
    assert central_box(50, 100, 1.0) == (0.0, 25.0, 50.0, 75.0)
    seen = images(ramp(50, 100)).read(np.array([0]))['image'][0]
    # The crop is the middle 80% of the height and the middle 40% of the width; a pixel is 1/8 of each.
    np.testing.assert_allclose(seen[:, 0, 0], 200 * (0.1 + 0.8 * (np.arange(8) + 0.5) / 8), atol=2)
    np.testing.assert_allclose(seen[0, :, 1], 200 * (0.3 + 0.4 * (np.arange(8) + 0.5) / 8), atol=2)


def test_random_boxes_have_shares_and_shapes_that_are_uniform_in_their_ranges():
    draws = np.random.default_rng(0).random((4000, 10, 4))
    # The draws are scaled so that a box has at most about a quarter of the area: nearly every first try fits.
    boxes = np.array([random_box(1000, 1000, 0.08, 0.18 * d + 0.82 * d * [0, 1, 1, 1]) for d in draws])
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    share, shape = wide * high / 1e6, np.log(wide / high) / np.log(4 / 3)
    assert 0.08 <= share.min() < 0.081
    np.testing.assert_allclose(
        np.quantile(share, [0.25, 0.5, 0.75]), 0.08 + 0.92 * 0.18 * np.array([1, 2, 3]) / 4, atol=0.005
    )
    np.testing.assert_allclose(np.quantile(shape, [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.05)
    assert -1 <= shape.min() < -0.99
    assert boxes.min() >= 0
    assert boxes.max() <= 1000
    # The position is uniform over all positions that fit.
    np.testing.assert_allclose(
        np.quantile(boxes[:, 0] / (1000 - wide), [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03
    )


def test_an_image_too_long_for_any_try_gives_its_central_square():
    assert random_box(1000, 10, 1.0, np.random.default_rng(0).random((10, 4))) == central_box(1000, 10, 1.0)


def test_a_random_crop_depends_on_seed_view_and_example_alone():
    made = images(*[ramp(50, 60)] * 6, area=0.1)
    ids = np.array([[0, 1, 2], [3, 4, 5]])
    seen = made.read(ids, np.array([4, 9]))['image']
    for row, view in ((0, 4), (1, 9)):
        for column in range(3):
            alone = made.read(ids[row, [column]], view)['image'][0]
            np.testing.assert_array_equal(seen[row, column], alone)
    different = [
        made.read(np.array([0]), 5),
        made.read(np.array([1]), 4),
        images(*[ramp(50, 60)] * 6, area=0.1, seed=1).read(np.array([0]), 4),
        made.read(np.array([0])),
    ]
    for other in different:
        assert not np.array_equal(seen[0, 0], other['image'][0])


def test_without_resized_crop_every_view_is_the_central_one():
    made = images(ramp(50, 60))
    np.testing.assert_array_equal(made.read(np.array([0]), 3)['image'], made.read(np.array([0]))['image'])


def test_grey_images_have_three_channels():
    grey = images(np.full((12, 12, 1), 77, np.uint8)).read(np.array([0]))['image']
    np.testing.assert_array_equal(grey, np.full((1, 8, 8, 3), 77))


def test_an_example_that_cannot_be_read_is_named():
    with pytest.raises(UserError, match=r'made: example 1 cannot be read \(Cannot handle'):
        images(ramp(9, 9), np.zeros((9, 9, 7), np.uint8)).read(np.array([0, 1]))
    wrong = Images([{'image': ramp(9, 9), 'label': 5}], 'made', 5, 8, 8)
    with pytest.raises(UserError, match=re.escape('made: example 0 has label 5, which is not in [0, 5)')):
        wrong.read(np.array([0]))


def squares(directory, **options):
    config = {'source': 'tfds_images', 'name': 'squares', 'data_dir': directory, 'test': 'validation', 'size': 8}
    return {**config, 'resize': 10, **options}


def test_a_prepared_data_set_is_read_image_by_image_with_its_labels(image_files):
    loaded = load_splits(squares(image_files, valid=5), 0)
    assert (loaded.num_classes, loaded.resident) == (3, False)
    found = {}
    for split, count in (('train', 15), ('valid', 5), ('test', 7)):
        batch = fetch_batch(loaded.arrays[split], np.arange(count))
        number = batch['image'][:, 0, 0, 0] // 10
        np.testing.assert_array_equal(
            batch['image'], np.broadcast_to(10 * number[:, None, None, None], (count, 8, 8, 3))
        )
        np.testing.assert_array_equal(batch['label'], number % 3)
        found[split] = set(number.tolist())
    assert found['train'] | found['valid'] == set(range(20))
    assert not found['train'] & found['valid']
    assert found['test'] == set(range(7))
    assert batch_shapes(loaded.arrays['train'], 4)['image'].shape == (4, 8, 8, 3)


def test_only_training_images_are_cropped_at_random_by_the_seed_of_the_run(image_files):
    arrays = load_splits(squares(image_files, valid=5, augment={'resized_crop': 0.2}), 6).arrays
    assert (arrays['train']['image'].area, arrays['train']['image'].seed) == (0.2, 6)
    assert arrays['valid']['image'].area == arrays['test']['image'].area == 0


def test_examples_of_a_streamed_split_keep_their_ids(image_files):
    whole, some = (load_splits(squares(image_files, examples=count), 3).arrays['train'] for count in (0, 6))
    np.testing.assert_array_equal(fetch_batch(some, np.arange(6))['image'], fetch_batch(whole, some['id'])['image'])
    assert len(some['id']) == 6


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'subset': (1,)}, 'c, data.subset needs the labels of all examples'),
        ({'label_noise': 0.1}, 'c, data.label_noise needs the labels'),
        ({'resident': True}, "c, data: source 'tfds_images' reads its examples from files"),
        ({'size': 20}, 'data.size is 20 and data.resize is 10'),
        (
            {'name': 'squaers'},
            "no prepared data set 'squaers' was found in .*`tfds build squaers --file_format=array_record",
        ),
        ({'test': 'tset'}, "no prepared data set 'squares' was found"),
    ],
)
def test_what_a_streamed_split_cannot_do_is_refused(image_files, options, message):
    with pytest.raises(UserError, match=message):
        load_splits(squares(image_files, **options), 0, 'c')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'augment': {'resized_crop': 0.08}},
            'c, data.augment.resized_crop works only for a source that reads images',
        ),
        ({'workers': 2}, "c, data.workers is for sources that read images from files, not for 'mnist'"),
    ],
)
def test_what_only_a_streamed_split_can_do_is_refused_of_others(options, message):
    with pytest.raises(UserError, match=message):
        load_splits({'source': 'mnist', **options}, 0, 'c')


def test_imagenet_has_a_thousand_classes_and_is_tested_on_its_validation_split():
    import tensorflow_datasets as datasets

    with datasets.testing.mock_data(num_examples=3):
        loaded = sources.imagenet2012(size=16, resize=20)
    assert loaded.num_classes == 1000
    assert "split 'validation'" in loaded.test['image'].name
    batch = loaded.train['image'].read(np.array([2, 0]), 1)
    assert batch['image'].shape == (2, 16, 16, 3)
    assert batch['image'].dtype == np.uint8
    assert np.all((batch['label'] >= 0) & (batch['label'] < 1000))


def test_the_checksum_of_the_examples_tells_images_from_others_if_they_have_one():
    class Known(list):
        checksum = 'crc32:0000002a'

    plain = images(ramp(9, 9))
    assert (plain.checksum, plain.identity()) == ('', '1 8 10')  # as in results that were written before
    known = Images(Known(plain.examples), 'made', 1, 8, 10)
    assert (known.checksum, known.identity()) == ('crc32:0000002a', '1 8 10 crc32:0000002a')
