"""Checks the arrays of a data source, and whether it has what the options of a run need."""

import functools
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.config.errors import UserError
from kd_jax.data.augment import image_size, mixes
from kd_jax.data.class_labels import check_labels, parse_classes
from kd_jax.data.lazy_images import Images
from kd_jax.data.source import Arrays, ReadFromFiles, Source, reads_files

LARGE = 16.0  # Images that are scaled to [0, 1], or normalised after that, stay far below.
SPLITS = {'train': 'training', 'valid': 'validation', 'test': 'test'}  # in words
TAKEN = {'id': 'the number of an example', RECORDED: 'recorded outputs of teachers'}
log = logging.getLogger(__name__)


def check_source(loaded: Any, place: str) -> None:
    """Raises a UserError for arrays that would make a run fail later, or train on wrong values."""
    if not isinstance(loaded, Source):
        raise UserError(
            f'{place}: the source returned a {type(loaded).__name__}, but it must return a kd_jax.data.sources.Source.'
        )
    classes = loaded.num_classes
    if classes is not None and not (isinstance(classes, int | np.integer) and classes >= 1):
        raise UserError(f'{place}.num_classes is {classes!r}, but it must be a whole number, 1 or more.')
    own = {} if loaded.valid is None else loaded.valid
    named = {SPLITS['train']: loaded.train, SPLITS['valid']: own, SPLITS['test']: loaded.test}
    for split, arrays in named.items():
        if not isinstance(arrays, Mapping):
            raise UserError(
                f'{place}: the {split} examples are a {type(arrays).__name__}, but they must be a dictionary of '
                "arrays, such as {'image': ..., 'label': ...}."
            )
    if not any(len(array) if _has_examples(array) else 1 for array in named[SPLITS['train']].values()):
        raise UserError(f'{place}: the source has no training examples.')
    for split, arrays in named.items():
        for name, array in arrays.items():
            _check_name(name, split, place)
            if not _has_examples(array):
                raise UserError(
                    f'{place}: the {split} {name} is a {type(array).__name__}, but it must be a NumPy array with an '
                    'axis of examples.'
                )
        if len({len(array) for array in arrays.values()}) > 1:
            sizes = {name: len(array) for name, array in arrays.items()}
            raise UserError(f'{place}: the {split} arrays must have one length, but they have {sizes}.')
        for name, array in arrays.items():
            if name == 'label' and classes is not None:
                check_labels(arrays, classes, f'{place}, {split} labels')
            elif not isinstance(array, ReadFromFiles):
                _check_array(name, array, split, place)
    for split, arrays in list(named.items())[1:]:
        for name in (name for name in loaded.train if name in arrays):
            _check_alike(name, loaded.train[name], arrays[name], split, place)


def _has_examples(array: Any) -> bool:
    if isinstance(array, np.ma.MaskedArray):  # JAX takes none, and what is masked would have to be dropped
        return False
    return isinstance(array, ReadFromFiles) or bool(getattr(array, 'ndim', 0))


def _check_name(name: Any, split: str, place: str) -> None:
    if not isinstance(name, str) or not name or '.' in name:
        raise UserError(f'{place}: a {split} array is called {name!r}, but a name must be a text without a dot.')
    if name in TAKEN:
        raise UserError(
            f'{place}: a {split} array is called {name!r}, but batch.{name} is {TAKEN[name]}; give it another name.'
        )


def _check_array(name: str, array: np.ndarray, split: str, place: str) -> None:
    if array.dtype.kind not in 'buif':
        raise UserError(f'{place}: the {split} {name}s have type {array.dtype}, but they must be numbers.')
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        raise UserError(f'{place}: some of the {split} {name}s are NaN or infinite.')
    _check_range(name, array, split, place)
    if name != 'image':
        return
    if array.dtype.kind in 'iu' and array.dtype != np.uint8:
        raise UserError(
            f'{place}: the {split} images have type {array.dtype}, but they must be uint8, which networks see scaled '
            "to [0, 1], or floats; integers that are no pixels, such as tokens, must not be called 'image'."
        )
    if array.dtype.kind == 'f' and array.size and max(array.max(), -array.min()) > LARGE:
        _warn(
            f'{place}: the {split} images are floats up to {np.abs(array).max():g}; only uint8 is scaled to [0, 1], '
            'so divide them by their largest value if they are pixels.'
        )


def _check_range(name: str, array: np.ndarray, split: str, place: str) -> None:
    """Refuses 64-bit numbers that would wrap, or become infinite, in the 32 bits that networks see."""
    if array.dtype.itemsize <= 4 or not array.size:
        return
    whole = np.iinfo(np.uint32 if array.dtype.kind == 'u' else np.int32)
    limits = np.finfo(np.float32) if array.dtype.kind == 'f' else whole
    for number in (array.min(), array.max()):
        if not limits.min <= number <= limits.max:
            raise UserError(
                f'{place}: the {split} {name}s hold {number}, which does not fit into the 32 bits that networks see; '
                'scale or renumber them.'
            )


@functools.cache
def _warn(message: str) -> None:  # The data of a study is loaded once for each run.
    log.warning(message)


def _check_alike(name: str, train: Any, other: Any, split: str, place: str) -> None:
    if isinstance(train, ReadFromFiles) or isinstance(other, ReadFromFiles):
        return
    if train.shape[1:] != other.shape[1:]:
        raise UserError(
            f'{place}: {name} has shape {list(train.shape[1:])} in the training arrays but {list(other.shape[1:])} in '
            f'the {split} arrays.'
        )
    if name == 'image' and (train.dtype == np.uint8) != (other.dtype == np.uint8) and len(other):
        raise UserError(
            f'{place}: the images have type {train.dtype} in the training arrays but {other.dtype} in the {split} '
            'arrays, and only uint8 is scaled to [0, 1]; give both splits the same type.'
        )


def warn_of_missing_splits(splits: Mapping[str, Arrays], place: str) -> None:
    """Warns if there is nothing but training examples."""
    if set(splits) == {'train'}:
        _warn(
            f'{place}: there are no validation and no test examples, so only training examples are evaluated; '
            'data.valid=NUMBER, or for text data.valid_documents=NUMBER, holds some out.'
        )


def warn_of_untrained_classes(
    splits: Mapping[str, Arrays], config: Mapping[str, Any], num_classes: int | None, place: str
) -> None:
    """Warns of classes that a split has but no training example, unless the config left them out."""
    if num_classes is None or config.get('classes') is not None:
        return
    left_out = parse_classes(config.get('exclude'), num_classes, f'{place}.exclude', may_be_empty=True)
    train = splits['train']
    for split, arrays in splits.items():
        if split == 'train' or not all(isinstance(one.get('label'), np.ndarray) for one in (train, arrays)):
            continue
        missing = sorted({*np.unique(arrays['label']).tolist()} - {*np.unique(train['label']).tolist(), *left_out})
        if missing:
            names = ', '.join(map(str, missing[:10])) + (f' and {len(missing) - 10} more' if len(missing) > 10 else '')
            _warn(
                f'{place}: no training example has class {names}, which the {SPLITS[split]} split has; it is never '
                'learned.'
            )


def check_needs(config: Mapping[str, Any], loaded: Source, augmentations: Mapping[str, Any], place: str) -> None:
    """Raises a UserError if an option needs labels, classes, images or image files that the source does not have."""
    source = config['source']
    images = any(isinstance(array, Images) for array in loaded.train.values())
    streamed = reads_files(loaded.train)
    _check_effects(config, place)
    for key in ('classes', 'exclude', 'subset', 'label_noise'):
        if config.get(key):
            _check_classes(loaded, source, f'{place}.{key}', streamed)
    mixing = [key for key in ('mixup', 'cutmix') if key in augmentations]
    if mixing:
        _check_classes(loaded, source, f'{place}.augment.{mixing[0]}', streamed=False)
    if streamed and config.get('resident'):
        raise UserError(
            f'{place}: source {source!r} reads its examples from files and is always streamed; leave resident out.'
        )
    if not images and 'resized_crop' in augmentations:
        raise UserError(
            f'{place}.augment.resized_crop works only for a source that reads images from files, but the images of '
            f'{source!r} are in memory; use augment.crop instead.'
        )
    if not images and config.get('workers'):
        raise UserError(
            f'{place}.workers is for sources that read images from files, not for {source!r}; leave it out.'
        )
    if of_images := {key: option for key, option in augmentations.items() if key != 'mask_words'}:
        _check_images(loaded.train, of_images, source, place)


def _check_effects(config: Mapping[str, Any], place: str) -> None:
    """Refuses options that do nothing without another option. An option that is switched off is no mistake."""
    if 'valid_by' in config and 'valid' not in config:
        raise UserError(f'{place}.valid_by chooses the examples that valid holds out, but valid is not set; set it.')
    if config.get('views', 0) > 1 and not config.get('augment'):
        raise UserError(
            f'{place}.views is {config["views"]}, but without augment all views of an example are alike; set augment, '
            'or leave views out.'
        )
    augment = config.get('augment', {})
    if augment.get('moves') and not {'crop', 'flip'} & augment.keys():
        raise UserError(f'{place}.augment.moves names arrays that crop and flip move, but neither of them is set.')


def _check_classes(loaded: Source, source: Any, what: str, streamed: bool) -> None:
    has_labels = 'label' in loaded.train or any(isinstance(array, Images) for array in loaded.train.values())
    if not has_labels:
        raise UserError(f"{what} needs classes, but the data of {source!r} has no array 'label'.")
    if streamed and 'label' not in loaded.train:
        raise UserError(
            f'{what} needs the labels of all examples, but source {source!r} reads a label only with its image; leave '
            f'{what.rpartition(".")[2]} out, or prepare a data set that holds only these examples.'
        )
    if loaded.num_classes is None:
        raise UserError(f'{what} needs the number of classes; {set_num_classes(loaded)}.')


def set_num_classes(loaded: Source) -> str:
    """Ends a message: how the number of classes is given, with the number that the labels suggest."""
    label = loaded.train.get('label')
    number = ''
    if isinstance(label, np.ndarray) and label.dtype.kind in 'iu' and label.ndim == 1 and label.size:
        number = f'={int(label.max()) + 1}'
    return f'set data.num_classes{number} (a source of your own gives it in its Source)'


def _check_images(arrays: Arrays, augmentations: Mapping[str, Any], source: Any, place: str) -> None:
    key = next(iter(augmentations))
    if 'image' not in arrays:
        raise UserError(f"{place}.augment.{key} changes images, but the data of {source!r} has no array 'image'.")
    size, shift = image_size(arrays), augmentations.get('crop', 0)
    shape = list(getattr(arrays['image'], 'shape', ())[1:])
    if size is None or shift >= min(size):
        if shift:
            raise UserError(f'{place} shifts images by up to {shift} pixels, but they are {shape}; reduce the shift.')
        raise UserError(f'{place}.augment.{key} needs images [height, width, ...], but they are {shape}.')
    for name in augmentations.get('moves', {}) if mixes(augmentations) or 'resized_crop' in augmentations else ():
        key = next(key for key in ('mixup', 'cutmix', 'resized_crop') if key in augmentations)
        raise UserError(
            f'{place}.augment.{key} changes images, but not {name!r}, which is laid out like them; leave {key} out, or '
            f'set augment.moves=() if {name!r} is no map of the image.'
        )
