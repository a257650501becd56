"""Checks that the labels and other arrays of a run's data suit the terms and evaluations that read them."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kd_jax import evaluation, losses
from kd_jax.config.errors import UserError
from kd_jax.core.paths import Context, Path
from kd_jax.core.recipe import Recipe
from kd_jax.data import augment
from kd_jax.data.source import ReadFromFiles
from kd_jax.data.splits import Splits
from kd_jax.evaluation.evaluations import Evaluation
from kd_jax.models.example_memory import MemoryBank, Recall

MIXED = ('image', 'target', 'id')  # the arrays of a batch that are still right after mixing
TARGETS = "read the mixed labels 'batch.target' with a loss that takes distributions, such as cross_entropy, or "


def check_mixing(recipe: Recipe, splits: Splits, where: str) -> None:
    """Refuses networks and terms that pair a mixed image with an array of one of its images, and mixing across copies.

    Raises:
      UserError: a network or a term, or the mask of a term, reads an array that is not mixed with the images.
    """
    if not augment.mixes(splits.augment):
        return
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        if network.own_batches:
            raise UserError(
                f'{place}: copies with own_batches cannot learn from mixed images, which mix '
                'examples of different copies; leave out data.augment.mixup and cutmix.'
            )
        _refuse_unmixed(network.inputs, place)
    for term in recipe.terms:
        place = f"{where}, term '{term.name}'"
        _refuse_unmixed([term.mask] if term.mask else [], f'{place}, mask')
        _refuse_unmixed(term.paths(), place, TARGETS)


def _refuse_unmixed(paths: Iterable[Path], place: str, instead: str = '') -> None:
    for path in paths:
        if path.source == 'batch' and path.name not in MIXED:
            raise UserError(
                f"{place} reads '{path}', but data.augment mixes the images and not this array: {instead}leave out "
                'data.augment.mixup and cutmix.'
            )


def check_memories(recipe: Recipe, splits: Splits, where: str) -> None:
    """Refuses memories of examples that have no place for one: JAX would read and write another place, in silence.

    Raises:
      UserError: a training example has a number that is not smaller than the `examples` of a `memory_bank` or `recall`.
    """
    last = int(splits.arrays['train']['id'].max())
    for network in recipe.networks:
        if isinstance(network.module, MemoryBank | Recall) and last >= network.module.examples:
            raise UserError(
                f"{where}, network '{network.name}': examples is {network.module.examples}, but the training examples "
                f'have numbers up to {last}, counted before data.valid and data.examples choose some of them; set '
                f'examples to the number of training examples of the data set, here at least {last + 1}.'
            )


def check_labels_of_terms(recipe: Recipe, context: Context, arrays: Mapping[str, Any], where: str) -> None:
    """Refuses training labels that are not among the classes of the logits that a term compares with them.

    Args:
      recipe: the recipe.
      context: shapes of everything that a path can read.
      arrays: the training split.
      where: the place in the config, for messages.
    Raises:
      UserError: a label that the term's mask does not leave out is negative, or not smaller than the number of classes.
    """
    for term in recipe.terms:
        reads = dict(zip(inspect.signature(term.loss).parameters, term.reads, strict=False))
        labels, logits = reads.get('labels'), term.reads[0]
        found = _in_data(labels, arrays)
        if found is None or found.dtype.kind not in 'iu' or isinstance(logits, tuple) or logits == labels:
            continue
        kept, shape = _kept(term.mask, arrays, found), context[logits.source][logits.name].shape
        if kept is None or not shape:
            continue
        if wrong := _no_class(found, shape[-1], kept):
            raise UserError(
                f"{where}, term '{term.name}': '{labels}' holds {wrong}, which is none of the {shape[-1]} "
                f"classes of '{logits}'; leave such labels out with the mask of the term, the path of an array that is "
                '0 for them.'
            )


def check_evaluated_splits(evaluations: Iterable[Evaluation], recipe: Recipe, splits: Splits, where: str) -> None:
    """Refuses evaluations if the validation or test arrays lack what a network or an evaluation reads."""
    reads = [path for one in evaluations for path in one.reads.values()]
    inputs = [path for network in recipe.networks for path in network.inputs]
    needed = {path.name for path in (*inputs, *reads) if path.source == 'batch'} if reads else set()
    for split, arrays in splits.arrays.items():
        read = {name for array in arrays.values() if isinstance(array, ReadFromFiles) for name in array.gives}
        missing = sorted(needed - set(arrays) - read)
        if split != 'train' and missing:
            raise UserError(
                f"{where}: 'batch.{missing[0]}' is read in evaluation, but the {split} arrays have no {missing[0]!r}; "
                f'they are {", ".join(sorted(arrays))}.'
            )


def check_evaluated_labels(evaluations: Iterable[Evaluation], context: Context, splits: Splits, where: str) -> None:
    """Refuses evaluations with labels, in any split, that are not among the classes of the logits compared with them.

    Raises:
      UserError: a label that neither a mask nor the option `ignore` leaves out is negative, or not smaller than the
        number of classes.
    """
    for one in evaluations:
        if one.metrics not in (evaluation.classification, evaluation.positions, evaluation.sequences):
            continue
        logits, labels = one.reads['logits'], one.reads['labels']
        if str(labels) == 'batch.label':
            _check_number_of_classes(logits, context, splits, where)
        classes = context[logits.source][logits.name].shape[-1]
        for split, arrays in splits.arrays.items():
            found = _in_data(labels, arrays)
            kept = None if found is None else _kept(one.reads.get('mask'), arrays, found)
            if found is None or kept is None:
                continue
            if wrong := _no_class(found, classes, kept & (found != one.early.get('ignore'))):
                raise UserError(
                    f"{where}, evaluate '{one.name}': '{labels}' of split '{split}' holds {wrong}, which is none "
                    f"of the {classes} classes of '{logits}'; metrics='positions' leaves labels out with "
                    'ignore=NUMBER or mask=PATH.'
                )


def check_multi_label_targets(recipe: Recipe, evaluations: Iterable[Evaluation], splits: Splits, where: str) -> None:
    """Refuses data that cannot be the labels of `bce` and of the metrics 'multi_label'.

    Raises:
      UserError: a target of `bce` that a mask does not leave out is not in [0, 1], or one of the metrics is not 0 or 1.
    """
    for term in recipe.terms:
        reads = dict(zip(inspect.signature(term.loss).parameters, term.reads, strict=False))
        if term.loss is losses.bce and (
            wrong := _outside(reads['target'], term.mask, splits.arrays['train'], lambda a: (a >= 0) & (a <= 1))
        ):
            raise UserError(f"{where}, term '{term.name}': '{reads['target']}' holds {wrong}, which is not in [0, 1].")
    for one in evaluations:
        for split, arrays in splits.arrays.items() if one.metrics is evaluation.multi_label else ():
            target = one.reads['target']
            if wrong := _outside(target, one.reads.get('mask'), arrays, lambda a: (a == 0) | (a == 1)):
                raise UserError(
                    f"{where}, evaluate '{one.name}': '{target}' of split '{split}' holds {wrong}, which is not 0 or 1."
                )


def _outside(
    path: Path | tuple[Path, ...], mask: Path | None, arrays: Mapping[str, Any], allowed: Callable[[np.ndarray], Any]
) -> str:
    """The first value of an array that is kept but not allowed, with its example; '' if there is none."""
    found = _in_data(path, arrays)
    kept = None if found is None else _kept(mask, arrays, found)
    if found is None or kept is None:
        return ''
    return _first(found, ~allowed(found) & kept)


def _no_class(labels: np.ndarray, classes: int, kept: Any) -> str:
    """The first label that is kept but is not a class, with its example; '' if there is none."""
    return _first(labels, ((labels < 0) | (labels >= classes)) & kept)


def _first(found: np.ndarray, wrong: Any) -> str:
    """The first wrong value of an array, with its example; '' if there is none."""
    at = np.argwhere(wrong)
    return f'{found[tuple(at[0].tolist())]} (example {at[0][0]})' if len(at) else ''


def _in_data(path: Path | tuple[Path, ...] | None, arrays: Mapping[str, Any]) -> np.ndarray | None:
    if not isinstance(path, Path) or path.source != 'batch':
        return None
    found = arrays.get(path.name)
    return found if isinstance(found, np.ndarray) else None


def _kept(path: Path | None, arrays: Mapping[str, Any], labels: np.ndarray) -> Any:
    """Whether the mask at a path keeps each label; None if that is not known before training."""
    if path is None:
        return True
    mask = _in_data(path, arrays)
    if mask is None or mask.shape != labels.shape[: mask.ndim]:
        return None
    return (mask > 0).reshape(mask.shape + (1,) * (labels.ndim - mask.ndim))


def _check_number_of_classes(logits: Path, context: Context, splits: Splits, where: str) -> None:
    """Refuses an evaluation of logits with 'batch.label' if the number of classes is unknown or differs.

    Labels that are not one class for each example have no number of classes.
    """
    classes = context[logits.source][logits.name].shape[-1]
    if splits.num_classes is None:
        if context['batch']['label'].ndim > 1:
            return
        raise UserError(
            f"{where}: '{logits}' is evaluated as classes with 'batch.label', but the data gives no number of classes; "
            'set data.num_classes, or name what to evaluate in evaluate.'
        )
    if classes != splits.num_classes:
        raise UserError(
            f"{where}: '{logits}' has {classes} classes, but the data has {splits.num_classes}; "
            f'set networks.{logits.source}.num_classes={splits.num_classes}.'
        )
