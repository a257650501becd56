"""Checks that what the terms and evaluations of a run read from its data can be what they take it for."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.core.paths import Context, Path
from kd_jax.core.recipe import Recipe
from kd_jax.core.term import Term
from kd_jax.data import augment
from kd_jax.data.splits import Splits

MIXED = ('image', 'target', 'id')  # the arrays of a batch that mixing leaves right


def check_mixing(recipe: Recipe, splits: Splits, where: str) -> None:
    """Refuses terms that would teach a mixed image what belongs to only one of its two images."""
    for term in recipe.terms if augment.mixes(splits.augment) else ():
        for path in (path for read in term.reads for path in (read if isinstance(read, tuple) else (read,))):
            if path.source == 'batch' and path.name not in MIXED:
                raise UserError(
                    f"{where}, term '{term.name}' reads '{path}', but data.augment mixes the images: read the mixed "
                    "labels 'batch.target' with a loss that takes distributions, such as cross_entropy."
                )


def check_labels_of_terms(recipe: Recipe, context: Context, arrays: Mapping[str, Any], where: str) -> None:
    """Refuses labels in the data that are no class of the logits that a term compares with them.

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
        kept, shape = _kept(term, arrays, found), context[logits.source][logits.name].shape
        if kept is None or not shape:
            continue
        wrong = np.argwhere(((found < 0) | (found >= shape[-1])) & kept)
        if len(wrong):
            first = wrong[0].tolist()
            raise UserError(
                f"{where}, term '{term.name}': '{labels}' holds {found[tuple(first)]} (example {first[0]}), which is "
                f"no class of '{logits}' with its {shape[-1]} classes; leave such labels out with the mask of the "
                'term, the path of an array that is 0 there.'
            )


def _in_data(path: Path | tuple[Path, ...] | None, arrays: Mapping[str, Any]) -> np.ndarray | None:
    if not isinstance(path, Path) or path.source != 'batch':
        return None
    found = arrays.get(path.name)
    return found if isinstance(found, np.ndarray) else None


def _kept(term: Term, arrays: Mapping[str, Any], labels: np.ndarray) -> Any:
    """Whether the mask of a term keeps each label; None if that is not known before training."""
    if term.mask is None:
        return True
    mask = _in_data(term.mask, arrays)
    if mask is None or mask.shape != labels.shape[: mask.ndim]:
        return None
    return (mask > 0).reshape(mask.shape + (1,) * (labels.ndim - mask.ndim))


def check_evaluated_classes(logits: Path, context: Context, splits: Splits, where: str) -> None:
    """Refuses an evaluation of logits with 'batch.label' if the number of classes is not known, or is another one.

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
