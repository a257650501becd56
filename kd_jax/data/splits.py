"""Training, validation and test splits of a source, as a run's `data` config describes them."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.import_by_name import find_by_name
from kd_jax.data import sources
from kd_jax.data.augment import parse_augmentations
from kd_jax.data.lazy_images import Images
from kd_jax.data.sources import Arrays, Source

OPTIONS = {
    'source': 'which data',
    'valid': 'training examples held out for validation',
    'examples': 'training examples kept, drawn anew for each seed; 0 keeps all',
    'classes': 'training examples of these classes only',
    'exclude': 'no training examples of these classes',
    'subset': "a specialist's classes: labels become their positions, all other classes the dustbin after them",
    'label_noise': 'share of the training labels replaced by classes drawn at random, anew for each seed',
    'augment': 'what is drawn anew for each training image and epoch, see `augment.OPTIONS`',
    'jitter': 'training images are shifted by up to so many pixels: augment.crop by the name of Hinton et al.',
    'views': 'how many views of each training image are drawn: epoch e sees view e modulo views; 0 draws ever new ones',
    'resident': 'keep the data on the device; false streams it, as images that are read from files always are',
    'workers': 'processes that read images from files; 0 for threads',
}


@dataclasses.dataclass(frozen=True)
class Splits:
    """Arrays by split name ('train', 'valid', 'test'), each with `id`, the example's number in its source.

    `oversampling`: how many times as often an example of the subset is drawn in training as one of the rest,
    (1 - s) / s when the subset is a share s of the data and half of each batch; 1 without a subset or for one of
    more than half. `augment`: the augmentations of the training split that are on. `resident`: whether
    training data is kept on the device.
    """

    arrays: Mapping[str, Arrays]
    num_classes: int
    subset: tuple[int, ...] = ()
    oversampling: float = 1.0
    augment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    resident: bool = True


def load_splits(config: Mapping[str, Any], seed: int, where: str = 'config') -> Splits:
    """The splits of a run.

    The validation split is the last `valid` training examples, the same for every seed. All other options act on the
    training split alone, but for `subset`, which relabels every split.

    Raises:
      UserError: an unknown source, option or class, labels out of range, or nothing left to train on.
    """
    place = f'{where}, data'
    source = find_by_name(config.get('source', ''), sources, 'data source', place)
    parameters = inspect.signature(source).parameters
    own = list(parameters)
    for key in config:
        if key not in OPTIONS and key not in own:
            raise UserError(f'{place}: there is no option {key!r}. {suggest(key, [*OPTIONS, *own])}')
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in config]
    if missing:
        raise UserError(f'{place}: source {config["source"]!r} needs {", ".join(missing)}.')
    augmentations = _augmentations(config, place)
    loaded = source(**{key: config[key] for key in own if key in config})
    streamed = any(isinstance(array, Images) for array in loaded.train.values())
    (_check_streamed if streamed else _check_in_memory)(config, augmentations, place)
    _check_source(loaded, augmentations, place)
    train, test = (
        with_ids(_replaced(arrays, workers=config.get('workers', 0))) for arrays in (loaded.train, loaded.test)
    )
    check_labels(train, loaded.num_classes, f'{place}, training labels')
    check_labels(test, loaded.num_classes, f'{place}, test labels')
    held = config.get('valid', 0)
    if not 0 <= held < example_count(train):
        raise UserError(f'{place}.valid is {held}, but there are {example_count(train)} training examples.')
    cut = example_count(train) - held
    valid, train = take_examples(train, slice(cut, None)), take_examples(train, slice(cut))
    train = _replaced(train, area=augmentations.get('resized_crop', 0.0), seed=seed)
    classes, exclude, subset = (
        _classes(config.get(key), loaded.num_classes, f'{place}.{key}') for key in ('classes', 'exclude', 'subset')
    )
    keep = np.ones(cut, bool)
    if exclude:
        keep &= ~np.isin(train['label'], exclude)
    if classes:
        keep &= np.isin(train['label'], classes)
    chosen = np.flatnonzero(keep)
    if config.get('examples', 0) > len(chosen):
        raise UserError(f'{place}.examples is {config["examples"]}, but only {len(chosen)} training examples are left.')
    if config.get('examples'):
        chosen = np.sort(np.random.default_rng([seed, 1]).permutation(chosen)[: config['examples']])
    if not len(chosen):
        raise UserError(f'{place}: no training example is left; see data.classes, data.exclude and data.examples.')
    if len(chosen) < cut:
        train = take_examples(train, chosen)
    if config.get('label_noise'):
        train = noisy(train, config['label_noise'], loaded.num_classes, np.random.default_rng([seed, 2]))
    splits = {'train': train, 'test': test}
    if held:
        splits['valid'] = valid
    resident = bool(config.get('resident', not streamed))
    if not subset:
        return Splits(splits, loaded.num_classes, augment=augmentations, resident=resident)
    share = float(np.mean(np.isin(splits['train']['label'], subset)))
    if not share:
        raise UserError(f'{place}.subset is {list(subset)}, but no training example of these classes is left.')
    relabelled = {split: relabel(arrays, subset) for split, arrays in splits.items()}
    return Splits(relabelled, len(subset) + 1, subset, max(1.0, (1.0 - share) / share), augmentations, resident)


def _augmentations(config: Mapping[str, Any], place: str) -> dict[str, Any]:
    options = parse_augmentations(config.get('augment', {}), f'{place}.augment')
    if config.get('jitter') and 'crop' in options:
        raise UserError(f'{place}: jitter and augment.crop are one and the same; set one of them.')
    return {'crop': config['jitter'], **options} if config.get('jitter') else options


def _check_streamed(config: Mapping[str, Any], augmentations: Mapping[str, Any], place: str) -> None:
    """Refuses what needs labels that are not known, or images that are not in memory."""
    for key in ('classes', 'exclude', 'subset', 'label_noise'):
        if config.get(key):
            raise UserError(
                f'{place}.{key} needs the labels of all examples, but source {config["source"]!r} reads each with its '
                f'image, when it is needed: leave {key} out, or prepare a data set of these examples.'
            )
    if config.get('resident'):
        raise UserError(f'{place}: source {config["source"]!r} is too large to be resident: leave resident out.')


def _check_in_memory(config: Mapping[str, Any], augmentations: Mapping[str, Any], place: str) -> None:
    """Refuses what is done where images are read from files."""
    if 'resized_crop' in augmentations:
        raise UserError(
            f'{place}.augment.resized_crop is cut from the files of a streamed source; the images of '
            f'{config["source"]!r} are in memory and all of one size: use crop, their number of padded pixels.'
        )
    if config.get('workers'):
        raise UserError(f'{place}.workers read files of a streamed source, but {config["source"]!r} is in memory.')


def _check_source(loaded: Source, augmentations: Mapping[str, Any], place: str) -> None:
    """Refuses arrays that a run would stumble over when it is under way."""
    if not isinstance(loaded.num_classes, int | np.integer) or loaded.num_classes < 1:
        raise UserError(f'{place}.num_classes is {loaded.num_classes!r}, but it must be a whole number, 1 or more.')
    for name in (name for name in loaded.train if name in loaded.test and name != 'label'):
        train, test = loaded.train[name], loaded.test[name]
        if isinstance(train, Images) or isinstance(test, Images):
            continue
        if train.shape[1:] != test.shape[1:]:
            raise UserError(
                f'{place}: an {name} is {list(train.shape[1:])} in training and {list(test.shape[1:])} in testing.'
            )
        for split, array in (('training', train), ('test', test)):
            if array.dtype.kind not in 'buif':
                raise UserError(f'{place}: the {split} {name}s are {array.dtype}, not numbers.')
            if array.dtype.kind == 'f' and not np.isfinite(array).all():
                raise UserError(f'{place}: of the {split} {name}s some are not finite numbers.')
    image, shift = loaded.train.get('image'), augmentations.get('crop', 0)
    if shift and isinstance(image, np.ndarray) and (image.ndim < 3 or shift >= min(image.shape[1:3])):
        raise UserError(
            f'{place} shifts images by up to {shift} pixels, but they are {list(image.shape[1:])}: see data.jitter.'
        )


def _classes(chosen: Any, num_classes: int, where: str) -> tuple[int, ...]:
    if chosen is None:
        return ()
    classes = tuple(np.atleast_1d(chosen).tolist())
    for number in classes:
        if number not in range(num_classes):
            raise UserError(f'{where}: {number!r} is no class; classes are the integers in [0, {num_classes}).')
    return classes


def with_ids(arrays: Arrays) -> Arrays:
    """The arrays and `id`, each example's number."""
    return {**arrays, 'id': np.arange(example_count(arrays), dtype=np.int32)}


def example_count(arrays: Arrays) -> int:
    """How many examples there are."""
    return len(arrays['id'] if 'id' in arrays else next(iter(arrays.values())))


def take_examples(arrays: Arrays, chosen: Any) -> Arrays:
    """Some of the examples; images that are read when they are needed go by their ids."""
    return {name: array if isinstance(array, Images) else array[chosen] for name, array in arrays.items()}


def _replaced(arrays: Arrays, **options: Any) -> Arrays:
    """The arrays with options of the `Images` among them set."""
    return {
        name: dataclasses.replace(array, **options) if isinstance(array, Images) else array
        for name, array in arrays.items()
    }


def check_labels(arrays: Arrays, num_classes: int, where: str) -> None:
    """Raises a UserError if a label is no integer in [0, num_classes). `Images` check theirs when they are read."""
    label = arrays.get('label', np.arange(0))
    if label.ndim != 1 or label.dtype.kind not in 'iu':
        raise UserError(
            f'{where} are {label.dtype} of shape {list(label.shape)}, but they must be whole numbers, one an example.'
        )
    wrong = np.flatnonzero((label < 0) | (label >= num_classes))
    if len(wrong):
        raise UserError(
            f'{where}: {label[wrong[0]]} (example {wrong[0]}, {len(wrong)} in all) is not in [0, {num_classes}).'
        )


def noisy(arrays: Arrays, share: float, num_classes: int, rng: np.random.Generator) -> Arrays:
    """The arrays with each label replaced, with probability `share`, by a class drawn uniformly (the right one too)."""
    drawn = rng.integers(num_classes, size=len(arrays['label']), dtype=np.int32)
    return {**arrays, 'label': np.where(rng.random(len(drawn)) < share, drawn, arrays['label'])}


def relabel(arrays: Arrays, subset: tuple[int, ...]) -> Arrays:
    """Labels as positions in `subset`, with len(subset) for every class outside it."""
    positions = np.full(max(arrays['label'].max(), *subset) + 1, len(subset), np.int32)
    positions[list(subset)] = np.arange(len(subset))
    return {**arrays, 'label': positions[arrays['label']]}
