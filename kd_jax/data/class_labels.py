"""Labels that are classes: checks, choices of classes, noise, and the labels of specialists."""

from typing import Any

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.data.source import Arrays


def check_labels(arrays: Arrays, num_classes: int, where: str) -> None:
    """Raises a UserError if a label is not an integer in [0, num_classes). `Images` check their labels on reading."""
    label = arrays.get('label', np.arange(0))
    if label.ndim != 1 or label.dtype.kind not in 'iu':
        raise UserError(
            f'{where} are {label.dtype} of shape {list(label.shape)}, but they must be whole numbers, one per example; '
            'targets that are no classes need no num_classes.'
        )
    wrong = np.flatnonzero((label < 0) | (label >= num_classes))
    if len(wrong):
        raise UserError(
            f'{where}: {label[wrong[0]]} (example {wrong[0]}, {len(wrong)} in all) is not in [0, {num_classes}).'
        )


def parse_classes(chosen: Any, num_classes: int | None, where: str, may_be_empty: bool = False) -> tuple[int, ...]:
    """Returns classes that a config names, one or several; () for None.

    Raises:
      UserError: one of them is no class, or is named twice, or the list is empty and may not be.
    """
    if chosen is None:
        return ()
    classes = tuple(chosen) if isinstance(chosen, list | tuple | np.ndarray) else (chosen,)
    if not classes and not may_be_empty:  # () would mean all classes, and a list from a result can come out empty
        raise UserError(f'{where} is empty, but it must name at least one class; leave it out to take all classes.')
    for number in classes:
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if num_classes is None or not whole or number not in range(num_classes):
            raise UserError(f'{where}: {number!r} is not a class; classes are the integers in [0, {num_classes}).')
        if classes.count(number) > 1:
            raise UserError(f'{where} names class {number} twice.')
    return classes


def noisy(arrays: Arrays, share: float, num_classes: int, rng: np.random.Generator) -> Arrays:
    """Replaces each label, with probability `share`, by a class drawn uniformly from all classes."""
    drawn = rng.integers(num_classes, size=len(arrays['label']), dtype=np.int32)
    return {**arrays, 'label': np.where(rng.random(len(drawn)) < share, drawn, arrays['label'])}


def relabel(arrays: Arrays, subset: tuple[int, ...]) -> Arrays:
    """Replaces each label by its position in `subset`, and by len(subset) if it is not in it."""
    positions = np.full(max(int(arrays['label'].max()), *subset) + 1, len(subset), np.int32)
    positions[list(subset)] = np.arange(len(subset))
    return {**arrays, 'label': positions[arrays['label']]}
