"""Splits a source into training, validation and test examples, as the `data` section of a run's config says."""

import dataclasses
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import check_option
from kd_jax.config.import_by_name import find_by_name
from kd_jax.config.own_code import explain_own_code
from kd_jax.data import augment, sources
from kd_jax.data.check_source import check_needs, check_source, warn_of_missing_splits, warn_of_untrained_classes
from kd_jax.data.class_labels import noisy, parse_classes, relabel
from kd_jax.data.held_out import draw_held_out
from kd_jax.data.lazy_images import Images
from kd_jax.data.source import Arrays, ReadFromFiles, Source, Vocabulary, reads_files
from kd_jax.data.source_checksum import source_checksum
from kd_jax.data.word_masking import place_masking

OPTIONS = {
    'source': Described("name of the data source, or your own function 'package.module:function'", REQUIRED, 'text'),
    'valid': Described(
        'number of training examples held out for validation, or taken from the validation split of the source; by '
        'default that whole split, if the source has one, and none otherwise',
        None,
        'whole number, 0 or more',
    ),
    'valid_by': Described(
        "which ones: 'random' (the same ones for every seed, in proportion to the classes) or 'position' (the last)",
        'random',
        "'random', 'position'",
    ),
    'examples': Described('number of training examples to keep, drawn anew for each seed; 0 keeps all', 0),
    'classes': Described('keep only training examples of these classes', None, 'list of classes'),
    'exclude': Described('drop training examples of these classes', None, 'list of classes'),
    'subset': Described(
        'classes of a specialist: a label becomes its position here; all other classes become one last class',
        None,
        'list of classes',
    ),
    'label_noise': Described('share of training labels replaced by random classes, drawn anew for each seed', 0.0),
    'augment': Described('random changes of each training image, drawn anew in each epoch', {}, 'dictionary'),
    'views': Described(
        'number of views of each training image: epoch e uses view e modulo views; 0 draws a new view each epoch', 0
    ),
    'resident': Described(
        'keep the data on the device; False streams it. Images and text that are read from files are always streamed',
        True,
        'True, False',
    ),
    'workers': Described('number of processes that read images from files; 0 uses threads', 0),
}


@dataclasses.dataclass(frozen=True)
class Splits:
    """The splits of a run and how they are used.

    Attributes:
      arrays: arrays by split name: 'train', and 'valid' and 'test' if they have examples; `id` is the number of an
        example in its source.
      num_classes: labels are integers in [0, num_classes); None if the source has no classes.
      subset: the classes of a specialist; () for all classes.
      oversampling: how much more often training draws an example of the subset than another example. This is
        (1 - s) / s if the subset is a share s of the data and half of each batch; 1 without a subset, or if s > 1/2.
      augment: the augmentations that are applied to the training split, from `augment.place_moves`.
      resident: whether training data is kept on the device.
      checksum: that of the source (see `source_checksum`); '' if an option of the data is not known yet.
      vocabulary: the tokens of a text source; None for all other sources.
    """

    arrays: Mapping[str, Arrays]
    num_classes: int | None
    subset: tuple[int, ...] = ()
    oversampling: float = 1.0
    augment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    resident: bool = True
    checksum: str = ''
    vocabulary: Vocabulary | None = None


VALID_BY = ('random', 'position')


def load_splits(config: Mapping[str, Any], seed: int, where: str = 'config') -> Splits:
    """Loads the splits of a run.

    The validation split is the same for every seed. `subset` relabels every split; all other options change the
    training split only.

    Raises:
      UserError: a source, option or class is unknown, labels are out of range, or no training example is left.
    """
    place = f'{where}, data'
    source, options = _parse_source(config, place)
    augmentations = augment.parse_augmentations(config.get('augment', {}), f'{place}.augment')
    try:
        with explain_own_code(f'data source {getattr(source, "__name__", source)!r} fails'):
            loaded = source(**options)
    except UserError as error:  # a source does not know whose data it loads
        raise UserError(f'{where}, {error}') from error
    check_source(loaded, place)
    augmentations = augment.place_moves(augmentations, loaded.train, f'{place}.augment')
    augmentations = place_masking(augmentations, loaded, f'{place}.augment')
    check_needs(config, loaded, augmentations, place)
    train, valid = _divided(loaded, config.get('valid'), config.get('valid_by', 'random'), place)
    test = with_ids(loaded.test) if loaded.test and example_count(loaded.test) else None
    arrays = {'train': train, **({'test': test} if test else {}), **({'valid': valid} if valid else {})}
    arrays = {split: _replaced(own, workers=config.get('workers', 0)) for split, own in arrays.items()}
    arrays['train'] = _replaced(arrays['train'], area=augmentations.get('resized_crop', 0.0), seed=seed)
    arrays['train'] = _chosen(arrays['train'], config, loaded.num_classes, seed, place)
    warn_of_missing_splits(arrays, place)
    warn_of_untrained_classes(arrays, config, loaded.num_classes, place)
    if config.get('label_noise') and loaded.num_classes:
        rng = np.random.default_rng([seed, 2])
        arrays['train'] = noisy(arrays['train'], config['label_noise'], loaded.num_classes, rng)
    resident = config.get('resident', not reads_files(loaded.train))
    check_option(resident, bool, f'{place}.resident')
    subset = parse_classes(config.get('subset'), loaded.num_classes, f'{place}.subset')
    classes, oversampling = loaded.num_classes, 1.0
    if subset:
        share = float(np.mean(np.isin(arrays['train']['label'], subset)))
        if not share:
            raise UserError(f'{place}.subset is {list(subset)}, but no training example of these classes is left.')
        arrays = {split: relabel(own, subset) for split, own in arrays.items()}
        classes, oversampling = len(subset) + 1, max(1.0, (1.0 - share) / share)
    checksum = source_checksum(loaded)
    return Splits(arrays, classes, subset, oversampling, augmentations, resident, checksum, loaded.vocabulary)


def check_option_names(config: Mapping[str, Any], place: str) -> None:
    """Raises a UserError if an option is none of a source or of a run, whatever its value."""
    source = find_by_name(config.get('source', ''), sources, 'data source', place)
    own = list(inspect.signature(source).parameters)
    for key in config:
        if key not in OPTIONS and key not in own:
            nested = [f'augment.{name}' for name in augment.OPTIONS]
            raise UserError(f'{place}: there is no option {key!r}. {suggest(key, [*OPTIONS, *own, *nested])}')


def _parse_source(config: Mapping[str, Any], place: str) -> tuple[Callable[..., Source], dict[str, Any]]:
    """Returns the source and its own options; refuses options that neither a source nor a run has."""
    check_option_names(config, place)
    source = find_by_name(config.get('source', ''), sources, 'data source', place)
    parameters = inspect.signature(source).parameters
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in config]
    if missing:
        raise UserError(f'{place}: source {config["source"]!r} needs {", ".join(missing)}.')
    by = config.get('valid_by', 'random')
    if by not in VALID_BY:
        raise UserError(f'{place}: there is no valid_by {by!r}. {suggest(by, VALID_BY)}')
    options = {key: config[key] for key in parameters if key in config}
    for key, option in options.items():
        check_option(option, parameters[key].annotation, f'{place}.{key}')
    return source, options


_DIVIDED: weakref.WeakKeyDictionary[Source, dict[Any, tuple[Arrays, Arrays | None]]] = weakref.WeakKeyDictionary()


def _divided(loaded: Source, held: int | None, by: str, place: str) -> tuple[Arrays, Arrays | None]:
    """Returns the training and the validation examples of a source, with ids; the runs of a study share the arrays.

    A source's own validation split is used whole if `held` is None. Otherwise `held` examples are taken from it,
    or from the training examples if the source has no validation split.
    """
    own = bool(loaded.valid)
    pool = loaded.valid or loaded.train
    count = example_count(pool)
    held = (count if own else 0) if held is None else held
    if held and not own and loaded.vocabulary is not None:
        raise UserError(
            f'{place}.valid is {held}, but rows of text share documents, and a document must not be in two splits; set '
            'data.valid_documents instead, or data.valid_split for a TFDS data set.'
        )
    if not 0 <= held <= count - (not own):
        what = 'validation examples in the source' if own else 'training examples'
        raise UserError(f'{place}.valid is {held}, but there are {count} {what}.')
    if (held, by) not in (divided := _DIVIDED.setdefault(loaded, {})):
        pool, chosen = with_ids(pool), np.arange(count) >= count - held
        if by == 'random':
            labels = pool['label'] if loaded.num_classes is not None and 'label' in pool else None
            chosen = draw_held_out(count, held, labels)
        valid = take_examples(pool, _indices(chosen)) if held else None
        train = with_ids(loaded.train) if own else take_examples(pool, _indices(~chosen))
        divided[held, by] = train, valid
    return divided[held, by]


def _indices(chosen: np.ndarray) -> Any:
    """Returns the numbers of the chosen examples; a slice, which copies nothing, if they follow each other."""
    numbers = np.flatnonzero(chosen)
    together = len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1
    return slice(numbers[0], numbers[-1] + 1) if together else numbers


def _chosen(train: Arrays, config: Mapping[str, Any], num_classes: int | None, seed: int, place: str) -> Arrays:
    """Returns the training examples that `classes`, `exclude` and `examples` leave."""
    keep = np.ones(example_count(train), bool)
    classes = parse_classes(config.get('classes'), num_classes, f'{place}.classes')
    exclude = parse_classes(config.get('exclude'), num_classes, f'{place}.exclude', may_be_empty=True)
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
    return take_examples(train, chosen) if len(chosen) < len(keep) else train


def with_ids(arrays: Arrays) -> Arrays:
    """Adds `id`, the number of each example, to the arrays."""
    return {**arrays, 'id': np.arange(example_count(arrays), dtype=np.int32)}


def example_count(arrays: Arrays) -> int:
    """Returns the number of examples."""
    return len(arrays['id'] if 'id' in arrays else next(iter(arrays.values())))


def take_examples(arrays: Arrays, chosen: Any) -> Arrays:
    """Returns the chosen examples. What is read from files by example id stays whole."""
    return {name: array if isinstance(array, ReadFromFiles) else array[chosen] for name, array in arrays.items()}


def _replaced(arrays: Arrays, **options: Any) -> Arrays:
    """Sets options of the `Images` among the arrays."""
    return {
        name: dataclasses.replace(array, **options) if isinstance(array, Images) else array
        for name, array in arrays.items()
    }
