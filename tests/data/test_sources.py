import hashlib

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data import sources


def idx(array):
    """Encodes an array in the IDX format: a magic number (type 8, number of axes), the sizes, the values."""
    header = np.array([0x0800 + array.ndim, *array.shape], '>u4')
    return header.tobytes() + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize(
    ('split', 'name', 'shape', 'digest'),
    [
        ('train', 'image', (60_000, 28, 28), 'ba891046'),
        ('train', 'label', (60_000,), '65a50cbb'),
        ('test', 'image', (10_000, 28, 28), '0fa7898d'),
        ('test', 'label', (10_000,), 'ff7bcfd4'),
    ],
)
def test_the_embedded_digits_are_those_of_the_original_files(split, name, shape, digest):
    array = getattr(sources.mnist(), split)[name]
    assert array.shape == shape
    assert hashlib.sha256(idx(array)).hexdigest().startswith(digest)


def test_the_digits_have_ten_classes_and_signed_labels():
    assert sources.mnist().num_classes == 10
    assert sources.mnist().train['label'].dtype == np.int32


def labels_of_images(arrays):
    return {image.tobytes(): label for image, label in zip(arrays['image'], arrays['label'], strict=True)}


def pairs():
    """Training, validation and test pairs, each with the digits that they are made of."""
    source, digits = sources.mnist_pairs(train=230, valid=120, test=150, sources=3000), sources.mnist()
    assert source.num_classes == 100
    parts = [
        (source.train, digits.train, slice(0, 3000)),
        (source.valid, digits.train, slice(50_000, None)),
        (source.test, digits.test, slice(None)),
    ]
    return [(arrays, {name: a[pool] for name, a in origin.items()}) for arrays, origin, pool in parts]


def test_pairs_are_two_digits_side_by_side_with_both_in_the_label():
    for (arrays, origin), size in zip(pairs(), (230, 120, 150), strict=True):
        known = labels_of_images(origin)
        assert arrays['image'].shape == (size, 28, 56)
        for image, label in zip(arrays['image'], arrays['label'], strict=True):
            assert known[image[:, :28].tobytes()] == label // 10
            assert known[image[:, 28:].tobytes()] == label % 10


def test_shrunk_images_are_the_same_images_with_means_of_blocks_for_pixels():
    whole, small = (sources.mnist_pairs(train=3, test=2, shrink=by) for by in (1, 2))
    np.testing.assert_array_equal(small.train['label'], whole.train['label'])
    assert small.train['image'].shape == (3, 14, 28)
    blocks = whole.train['image'][1, 6:8, 10:12].astype(float)
    assert small.train['image'][1, 3, 5] == np.rint(blocks.mean())
    digits, smaller = sources.mnist(), sources.mnist(shrink=4)
    assert smaller.test['image'].shape == (10_000, 7, 7)
    assert smaller.test['image'][9, 3, 2] == np.rint(digits.test['image'][9, 12:16, 8:12].astype(float).mean())
    for source in (sources.mnist_pairs, sources.mnist):
        with pytest.raises(UserError, match=r'data.shrink is 3, but it must be 1, 2 or 4'):
            source(shrink=3)


def test_numbers_of_two_digits_are_pairs_and_those_of_three_have_a_thousand_classes():
    pairs, numbers = sources.mnist_pairs(train=40, test=9), sources.mnist_numbers(digits=2, train=40, test=9)
    np.testing.assert_array_equal(pairs.train['image'], numbers.train['image'])
    np.testing.assert_array_equal(pairs.test['label'], numbers.test['label'])
    three = sources.mnist_numbers(train=1000, test=9, shrink=4)
    assert three.num_classes == 1000
    assert three.train['image'].shape == (1000, 7, 21)
    assert set(three.train['label']) == set(range(1000))
    with pytest.raises(UserError, match=r'data.digits is 5, but it must be between 1 and 4'):
        sources.mnist_numbers(digits=5)


def test_classes_of_pairs_are_balanced_to_within_one_example():
    for (arrays, _), counts in zip(pairs(), ({2, 3}, {1, 2}, {1, 2}), strict=True):
        assert set(np.bincount(arrays['label'], minlength=100)) == counts


def test_splits_of_pairs_share_no_digit():
    train, valid, test = (
        {half.tobytes() for image in arrays['image'] for half in (image[:, :28], image[:, 28:])}
        for arrays, _ in pairs()
    )
    assert not train & valid
    assert not (train | valid) & test


def test_training_pairs_cannot_be_made_of_validation_digits():
    with pytest.raises(UserError, match=r'data.sources is 60000'):
        sources.mnist_pairs(sources=60_000)


def good():
    image, label = np.zeros((3, 2, 2), np.uint8), np.array([0, 1, 0])
    return {'train_image': image, 'train_label': label, 'test_image': image[:2], 'test_label': label[:2]}


def test_arrays_of_a_file_are_sorted_into_splits(tmp_path):
    np.savez(tmp_path / 'own.npz', **good(), train_weight=np.arange(3))
    source = sources.npz(path=str(tmp_path / 'own.npz'), num_classes=2)
    assert set(source.train) == {'image', 'label', 'weight'}
    np.testing.assert_array_equal(source.test['label'], [0, 1])
    assert source.num_classes == 2


def test_a_file_needs_neither_images_nor_labels_and_may_bring_its_own_validation_split(tmp_path):
    arrays = {
        f'{split}_points': np.full((n, 3), n, np.float32) for split, n in (('train', 5), ('valid', 3), ('test', 2))
    }
    np.savez(tmp_path / 'own.npz', **arrays)
    source = sources.npz(path=str(tmp_path / 'own.npz'))
    assert source.num_classes is None
    for found, count in ((source.train, 5), (source.valid, 3), (source.test, 2)):
        np.testing.assert_array_equal(found['points'], np.full((count, 3), count))


def test_a_file_is_read_once_until_it_changes(tmp_path):
    path = tmp_path / 'own.npz'
    np.savez(path, **good())
    first = sources.npz(path=str(path), num_classes=2)
    assert sources.npz(path=str(path), num_classes=2) is first
    np.savez(path, **{**good(), 'train_weight': np.arange(3)})
    assert 'weight' in sources.npz(path=str(path), num_classes=2).train


def test_a_file_without_training_arrays_is_refused(tmp_path):
    arrays = {name: array for name, array in good().items() if 'test' in name}
    np.savez(tmp_path / 'own.npz', **arrays)
    with pytest.raises(UserError, match=r"has no array train_NAME, such as train_image; it has \['test_image'"):
        sources.npz(path=str(tmp_path / 'own.npz'), num_classes=2)


def test_a_file_with_fewer_labels_than_images_is_refused(tmp_path):
    np.savez(tmp_path / 'own.npz', **{**good(), 'train_label': np.array([0, 1])})
    with pytest.raises(UserError, match=r"must have one length, .*'train_image': 3, 'train_label': 2"):
        sources.npz(path=str(tmp_path / 'own.npz'), num_classes=2)


@pytest.mark.parametrize('kind', ['missing', 'directory', 'text', 'empty', 'cut off', 'npy'])
def test_a_file_that_is_no_npz_is_refused(tmp_path, kind):
    path = tmp_path / 'own.npz'
    np.savez(path, **good())
    whole = path.read_bytes()
    if kind == 'missing':
        path = tmp_path / 'other.npz'
    elif kind == 'directory':
        path = tmp_path
    elif kind == 'npy':
        path = tmp_path / 'array.npy'
        np.save(path, np.zeros(3))
    else:
        path.write_bytes({'text': b'hello', 'empty': b'', 'cut off': whole[: len(whole) // 2]}[kind])
    said = 'there is no such file' if kind == 'missing' else 'cannot be read as a .npz file'
    with pytest.raises(UserError, match=said):
        sources.npz(path=str(path), num_classes=2)


def test_a_tfds_directory_without_the_data_set_is_refused(tmp_path):
    with pytest.raises(
        UserError,
        match=r"no prepared data set 'fashion_mnist' was found in .*; prepare it once with `tfds build fashion_mnist",
    ):
        sources.tfds(name='fashion_mnist', data_dir=str(tmp_path))


@pytest.mark.parametrize(('source', 'num_classes'), [(sources.cifar10, 10), (sources.cifar100, 100)])
def test_the_cifar_sets_are_read_as_8_bit_images_with_their_number_of_classes(source, num_classes):
    import tensorflow_datasets as datasets

    with datasets.testing.mock_data(num_examples=7):
        loaded = source.__wrapped__()
    assert loaded.num_classes == num_classes
    for arrays in (loaded.train, loaded.test):
        assert arrays['image'].shape == (7, 32, 32, 3)
        assert arrays['image'].dtype == np.uint8
        assert arrays['label'].dtype == np.int32
