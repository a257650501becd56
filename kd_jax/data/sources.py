"""Data sources: functions that return a `Source`. A function's name here is its name in a config's `data.source`."""

import functools
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.hyperparameters import Count
from kd_jax.config.ordinary_files import user_path
from kd_jax.data.digit_images import check_rows, rows_of_digits, shrunk
from kd_jax.data.held_out import draw_held_out
from kd_jax.data.image_folder import find_splits
from kd_jax.data.lazy_images import Images
from kd_jax.data.npz_files import read_npz
from kd_jax.data.prepared_sets import open_prepared
from kd_jax.data.source import Arrays, Source
from kd_jax.data.text_sources import aligned_text, text, tfds_text

__all__ = [
    'aligned_text', 'cifar10', 'cifar100', 'image_folder', 'imagenet2012', 'mnist', 'mnist_numbers', 'mnist_pairs',
    'npz', 'text', 'tfds', 'tfds_images', 'tfds_text',
]  # fmt: skip

log = logging.getLogger(__name__)


@functools.cache
def mnist(*, shrink: int = 1) -> Source:
    """The original MNIST, included in this package: image [60000 and 10000, 28, 28] uint8, label int32 in [0, 10).

    Args:
      shrink: 1, 2 or 4. Each pixel becomes the mean of a block of shrink x shrink pixels.
    Raises:
      UserError: `shrink` is not 1, 2 or 4.
    """
    with np.load(pathlib.Path(__file__).with_name('mnist.npz')) as file:
        train, test = (
            {'image': shrunk(file[f'{split}_images'], shrink), 'label': file[f'{split}_labels'].astype(np.int32)}
            for split in ('train', 'test')
        )
    return Source(train, test, 10)


@functools.cache
def mnist_pairs(
    *, train: Count = 50_000, valid: int = 0, test: Count = 10_000, sources: int = 50_000, shrink: int = 1
) -> Source:
    """Two MNIST digits side by side, `mnist_numbers` with digits=2: image [..., 28, 56] uint8, label in [0, 100).

    Args:
      train: number of training pairs.
      valid: number of validation pairs.
      test: number of test pairs.
      sources: number of digit images that training pairs are made of, at most 50,000; fewer images are harder.
      shrink: as for `mnist`.
    """
    return mnist_numbers.__wrapped__(digits=2, train=train, valid=valid, test=test, sources=sources, shrink=shrink)


@functools.cache
def mnist_numbers(
    *,
    digits: int = 3,
    train: Count = 50_000,
    valid: int = 0,
    test: Count = 10_000,
    sources: int = 50_000,
    shrink: int = 1,
) -> Source:
    """MNIST digits side by side that write a number, the label: image [..., 28, 28 * digits] uint8.

    The number of examples differs by at most one between classes, and the draw is fixed. Training numbers use the first
    `sources` MNIST training images, validation numbers the last 10,000 training images, test numbers the test images.

    Args:
      digits: number of digits, 1 to 4.
      train: number of training numbers.
      valid: number of validation numbers.
      test: number of test numbers.
      sources: number of digit images that training numbers are made of, at most 50,000; fewer images are harder.
      shrink: as for `mnist`.
    Raises:
      UserError: as for `check_rows` and `mnist`.
    """
    single, pool = mnist(shrink=shrink), 50_000
    check_rows(digits, sources, pool, (train + valid + test) * single.train['image'][0].size * digits)

    def drawn(arrays: Arrays, chosen: slice, count: int, seed: int) -> Arrays:
        image, label = rows_of_digits(arrays['image'][chosen], arrays['label'][chosen], digits, count, seed)
        return {'image': image, 'label': label}

    held = drawn(single.train, slice(pool, None), valid, 1) if valid else None
    return Source(
        drawn(single.train, slice(sources), train, 0), drawn(single.test, slice(None), test, 2), 10**digits, held
    )


def npz(*, path: str, num_classes: int | None = None) -> Source:
    """Your own arrays: a .npz file with train_NAME and test_NAME for each array NAME of a batch, such as train_image.

    Arrays valid_NAME are the validation split. Without arrays test_NAME, a study has no test split.

    Args:
      path: the file.
      num_classes: number of classes of `label`; None if there are no classes.
    Raises:
      UserError: the file is missing or no .npz file, has no training arrays, or arrays of a split differ in length.
    """
    file = user_path(path)
    state = file.stat() if file.exists() else None
    return _npz(path, state and (state.st_size, state.st_mtime_ns), num_classes)


@functools.lru_cache(maxsize=4)
def _npz(path: str, state: tuple[int, int] | None, num_classes: int | None) -> Source:
    """Reads the file; its `state`, size and time, tells a new file from the one that was read before."""
    try:
        arrays, unread = read_npz(user_path(path), lambda name: name.startswith(('train_', 'test_', 'valid_')))
    except FileNotFoundError:
        raise UserError(f'data.path={path!r}: there is no such file.') from None
    except Exception as error:  # A damaged file can raise anything.
        raise UserError(f'data.path={path!r} cannot be read as a .npz file ({first_line(error)}).') from error
    train, test, valid = (
        {name.removeprefix(f'{split}_'): a for name, a in arrays.items() if name.startswith(f'{split}_')}
        for split in ('train', 'test', 'valid')
    )
    if not train:
        raise UserError(
            f'data.path={path!r} has no array train_NAME, such as train_image; it has {sorted([*arrays, *unread])}.'
        )
    if unread:
        log.warning(
            f'data.path={path!r}: the arrays {", ".join(unread)} are not read; only names that begin with '
            'train_, valid_ or test_ are.'
        )
    for split, found in (('train', train), ('test', test), ('valid', valid)):
        sizes = {f'{split}_{name}': len(array) if array.ndim else 'one number' for name, array in found.items()}
        if len(set(sizes.values())) > 1:
            raise UserError(f'data.path={path!r}: arrays of a split must have one length, but the file has {sizes}.')
    return Source(train, test, num_classes, valid or None)


@functools.cache
def image_folder(*, path: str, size: int = 224, resize: int = 256, test: int = 0) -> Source:
    """Your own images in files: a folder for each class, such as path/train/cats/1.jpg; read image by image.

    Classes are numbered in the order of their names in path/train. path/test holds the test images, path/valid or
    path/val the validation images, if any. Without path/train, the class folders are in path itself. Any format
    that Pillow reads will do. Without path/test, and with test=0, there is no test split.

    Args:
      path: the folder.
      size: height and width of the images that networks get, in pixels.
      resize: in evaluation, the shorter side is scaled to this length before the central square of `size` is cut out.
      test: number of images that are held out as the test split if there is no path/test; always the same ones, in
        proportion to the classes.
    Raises:
      UserError: as for `image_folder.find_splits`; `test` is not 0 although the folder has a test split, or leaves no
        image for training; not 1 <= size <= resize.
    """
    _check_sizes(size, resize)
    found, classes = find_splits(path)
    train = found['train']
    if 'test' in found and test:
        raise UserError(f'data.test is {test}, but {path!r} has a folder test/; leave data.test out.')
    if not 0 <= test < len(train):
        raise UserError(f'data.test is {test}, but it must be 0 or more and smaller than the {len(train)} images.')
    if test:
        held = draw_held_out(len(train), test, train.labels)
        found |= {'train': train.take(~held), 'test': train.take(held)}
    arrays = {
        split: {
            'image': Images(files, f'{path}, split {split!r}', len(classes), size, resize),
            'label': files.labels,
        }
        for split, files in found.items()
    }
    return Source(arrays['train'], arrays.get('test', {}), len(classes), arrays.get('valid'))


@functools.cache
def cifar10(*, data_dir: str | None = None) -> Source:
    """CIFAR-10 (Krizhevsky 2009): image [50000 and 10000, 32, 32, 3] uint8, label in [0, 10); see `tfds`.

    Args:
      data_dir: the directory where it was prepared; None for TFDS's default.
    """
    return tfds.__wrapped__(name='cifar10', data_dir=data_dir)


@functools.cache
def cifar100(*, data_dir: str | None = None) -> Source:
    """CIFAR-100 (Krizhevsky 2009): image [50000 and 10000, 32, 32, 3] uint8, label in [0, 100); see `tfds`.

    Args:
      data_dir: the directory where it was prepared; None for TFDS's default.
    """
    return tfds.__wrapped__(name='cifar100', data_dir=data_dir)


@functools.cache
def tfds(*, name: str, data_dir: str | None = None) -> Source:
    """A prepared TFDS data set of images and labels, read into memory without TensorFlow.

    Args:
      name: name of the TFDS data set, for example 'fashion_mnist'.
      data_dir: the directory where it was prepared; None for TFDS's default.
    Raises:
      UserError: the directory holds no such data set in a format with random access (array_record).
    """
    (train, test), features = open_prepared(name, data_dir, ('train', 'test'))

    def read(split: Sequence[Any]) -> Arrays:
        examples = [split[i] for i in range(len(split))]
        image = np.stack([example['image'] for example in examples])
        label = np.array([example['label'] for example in examples], np.int32)
        return {'image': image[..., 0] if image.shape[-1] == 1 else image, 'label': label}

    return Source(read(train), read(test), _classes(features, name))


def imagenet2012(*, data_dir: str | None = None, size: int = 224, resize: int = 256) -> Source:
    """ImageNet (Russakovsky et al. 2015): 1,281,167 training images; the 50,000 validation images are its test split.

    TFDS prepares it from the two archives of the challenge, which you must download.

    Args:
      data_dir: the directory where it was prepared; None for TFDS's default.
      size: height and width of the images that networks get, in pixels.
      resize: in evaluation, the shorter side is scaled to this length before the central square of `size` is cut out.
    """
    return tfds_images(name='imagenet2012', data_dir=data_dir, test='validation', size=size, resize=resize)


def tfds_images(
    *, name: str, data_dir: str | None = None, test: str = 'test', size: int = 224, resize: int = 256
) -> Source:
    """A prepared TFDS data set of labelled images of any size, read image by image without TensorFlow.

    Args:
      name: name of the TFDS data set.
      data_dir: the directory where it was prepared; None for TFDS's default.
      test: name of the split that serves as the test split.
      size: height and width of the images that networks get, in pixels.
      resize: in evaluation, the shorter side is scaled to this length before the central square of `size` is cut out.
    Raises:
      UserError: as for `tfds`; or not 1 <= size <= resize.
    """
    _check_sizes(size, resize)
    found, features = open_prepared(name, data_dir, ('train', test))
    num_classes = _classes(features, name)
    train, held = (
        {'image': Images(examples, f'{name}, split {split!r}', num_classes, size, resize)}
        for split, examples in zip(('train', test), found, strict=True)
    )
    return Source(train, held, num_classes)


def _check_sizes(size: int, resize: int) -> None:
    if not 1 <= size <= resize:
        raise UserError(f'data.size is {size} and data.resize is {resize}, but they must satisfy 1 <= size <= resize.')


def _classes(features: Any, name: str) -> int:
    """The number of classes of a prepared TFDS data set."""
    if 'label' not in features:
        raise UserError(f"the data set {name!r} has no 'label'; its features are {', '.join(sorted(features))}.")
    return features['label'].num_classes
