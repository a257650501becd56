"""Splits a source into training, validation and test examples, as the `data` section of a run's config says."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.import_by_name import find_by_name
from kd_jax.data import augment, sources
from kd_jax.data.lazy_images import Images
from kd_jax.data.sources import Arrays, Source

OPTIONS = {
    'source': 'name of the data source',
    'valid': 'number of training examples held out for validation',
    'examples': 'number of training examples to keep, drawn anew for each seed; 0 keeps all',
    'classes': 'keep only training examples of these classes',
    'exclude': 'drop training examples of these classes',
    'subset': 'classes of a specialist: a label becomes its position here; all other classes become one last class',
    'label_noise': 'share of training labels that are replaced by random classes, drawn anew for each seed',
    'augment': 'random changes of each training image, drawn anew in each epoch; see `augment.OPTIONS`',
    'views': 'number of views of each training image: epoch e uses view e modulo views; 0 draws a new view each epoch',
    'resident': 'keep the data on the device; False streams it. Images that are read from files are always streamed',
    'workers': 'number of processes that read images from files; 0 uses threads',
}


@dataclasses.dataclass(frozen=True)
class Splits:
    """The splits of a run and how they are used.

    Attributes:
      arrays: arrays by split name ('train', 'valid', 'test'); `id` is the number of an example in its source.
      num_classes: labels are integers in [0, num_classes).
      subset: the classes of a specialist; () for all classes.
      oversampling: how much more often training draws an example of the subset than another example. This is
        (1 - s) / s if the subset is a share s of the data and half of each batch; 1 without a subset, or if s > 1/2.
      augment: the augmentations that are applied to the training split.
      resident: whether training data is kept on the device.
    """

    arrays: Mapping[str, Arrays]
    num_classes: int
    subset: tuple[int, ...] = ()
    oversampling: float = 1.0
    augment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    resident: bool = True


def load_splits(config: Mapping[str, Any], seed: int, where: str = 'config') -> Splits:
    """Loads the splits of a run.

    The validation split is the last `valid` training examples, the same for every seed. `subset` relabels every split;
    all other options change the training split only.

    Raises:
      UserError: a source, option or class is unknown, labels are out of range, or no training example is left.
    """
    place = f'{where}, data'
    source = find_by_name(config.get('source', ''), sources, 'data source', place)
    parameters = inspect.signature(source).parameters
    own = list(parameters)
    for key in config:
        if key not in OPTIONS and key not in own:
            nested = [f'augment.{name}' for name in augment.OPTIONS]
            raise UserError(f'{place}: there is no option {key!r}. {suggest(key, [*OPTIONS, *own, *nested])}')
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in config]
    if missing:
        raise UserError(f'{place}: source {config["source"]!r} needs {", ".join(missing)}.')
    augmentations = augment.parse_augmentations(config.get('augment', {}), f'{place}.augment')
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


def _check_streamed(config: Mapping[str, Any], augmentations: Mapping[str, Any], place: str) -> None:
    """Refuses options that need all labels, or all images in memory."""
    for key in ('classes', 'exclude', 'subset', 'label_noise'):
        if config.get(key):
            raise UserError(
                f'{place}.{key} needs the labels of all examples, but source {config["source"]!r} reads a label only '
                f'with its image; leave {key} out, or prepare a data set that holds only these examples.'
            )
    if config.get('resident'):
        raise UserError(
            f'{place}: source {config["source"]!r} reads images from files and is always streamed; leave resident out.'
        )


def _check_in_memory(config: Mapping[str, Any], augmentations: Mapping[str, Any], place: str) -> None:
    """Refuses options that apply only to images that are read from files."""
    if 'resized_crop' in augmentations:
        raise UserError(
            f'{place}.augment.resized_crop works only for a source that reads images from files, but the images of '
            f'{config["source"]!r} are in memory; use augment.crop instead.'
        )
    if config.get('workers'):
        raise UserError(
            f'{place}.workers is for sources that read images from files, not for {config["source"]!r}; leave it out.'
        )


def _check_source(loaded: Source, augmentations: Mapping[str, Any], place: str) -> None:
    """Refuses arrays that would make a run fail later."""
    if not isinstance(loaded.num_classes, int | np.integer) or loaded.num_classes < 1:
        raise UserError(f'{place}.num_classes is {loaded.num_classes!r}, but it must be a whole number, 1 or more.')
    for name in (name for name in loaded.train if name in loaded.test and name != 'label'):
        train, test = loaded.train[name], loaded.test[name]
        if isinstance(train, Images) or isinstance(test, Images):
            continue
        if train.shape[1:] != test.shape[1:]:
            raise UserError(
                f'{place}: {name} has shape {list(train.shape[1:])} in training but {list(test.shape[1:])} in testing.'
            )
        for split, array in (('training', train), ('test', test)):
            if array.dtype.kind not in 'buif':
                raise UserError(f'{place}: the {split} {name}s have type {array.dtype}, but they must be numbers.')
            if array.dtype.kind == 'f' and not np.isfinite(array).all():
                raise UserError(f'{place}: some of the {split} {name}s are NaN or infinite.')
    image, shift = loaded.train.get('image'), augmentations.get('crop', 0)
    if shift and isinstance(image, np.ndarray) and (image.ndim < 3 or shift >= min(image.shape[1:3])):
        raise UserError(
            f'{place} shifts images by up to {shift} pixels, but they are {list(image.shape[1:])}; reduce the shift.'
        )


def _classes(chosen: Any, num_classes: int, where: str) -> tuple[int, ...]:
    if chosen is None:
        return ()
    classes = tuple(np.atleast_1d(chosen).tolist())
    for number in classes:
        if number not in range(num_classes):
            raise UserError(f'{where}: {number!r} is not a class; classes are the integers in [0, {num_classes}).')
    return classes


def with_ids(arrays: Arrays) -> Arrays:
    """Adds `id`, the number of each example, to the arrays."""
    return {**arrays, 'id': np.arange(example_count(arrays), dtype=np.int32)}


def example_count(arrays: Arrays) -> int:
    """Returns the number of examples."""
    return len(arrays['id'] if 'id' in arrays else next(iter(arrays.values())))


def take_examples(arrays: Arrays, chosen: Any) -> Arrays:
    """Returns the chosen examples. `Images` stay whole, because they are read by example id."""
    return {name: array if isinstance(array, Images) else array[chosen] for name, array in arrays.items()}


def _replaced(arrays: Arrays, **options: Any) -> Arrays:
    """Sets options of the `Images` among the arrays."""
    return {
        name: dataclasses.replace(array, **options) if isinstance(array, Images) else array
        for name, array in arrays.items()
    }


def check_labels(arrays: Arrays, num_classes: int, where: str) -> None:
    """Raises a UserError if a label is not an integer in [0, num_classes). `Images` check their labels on reading."""
    label = arrays.get('label', np.arange(0))
    if label.ndim != 1 or label.dtype.kind not in 'iu':
        raise UserError(
            f'{where} are {label.dtype} of shape {list(label.shape)}, but they must be whole numbers, one per example.'
        )
    wrong = np.flatnonzero((label < 0) | (label >= num_classes))
    if len(wrong):
        raise UserError(
            f'{where}: {label[wrong[0]]} (example {wrong[0]}, {len(wrong)} in all) is not in [0, {num_classes}).'
        )


def noisy(arrays: Arrays, share: float, num_classes: int, rng: np.random.Generator) -> Arrays:
    """Replaces each label, with probability `share`, by a class drawn uniformly from all classes."""
    drawn = rng.integers(num_classes, size=len(arrays['label']), dtype=np.int32)
    return {**arrays, 'label': np.where(rng.random(len(drawn)) < share, drawn, arrays['label'])}


def relabel(arrays: Arrays, subset: tuple[int, ...]) -> Arrays:
    """Replaces each label by its position in `subset`, and by len(subset) if it is not in it."""
    positions = np.full(max(arrays['label'].max(), *subset) + 1, len(subset), np.int32)
    positions[list(subset)] = np.arange(len(subset))
    return {**arrays, 'label': positions[arrays['label']]}
