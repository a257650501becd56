"""Selects examples of soft targets at several temperatures for a figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kd_jax.analyses.predictions import Splits, checked_classes, labels_of, log_softmax, logits_of, split_of
from kd_jax.config.errors import UserError


def soft_targets(
    logits: Splits,
    labels: Splits,
    images: Splits,
    *,
    temperatures: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 20.0),
    label: int = 2,
    resembling: tuple[int, ...] = (3, 7),
    examples_each: int = 2,
    t: float = 4.0,
    split: str = 'test',
) -> dict[str, Any]:
    """A teacher's predictions at several temperatures, for images of one class that resemble other classes.

    Hinton et al. (2015), section 1: one version of a 2 looks like a 3, another like a 7, and the soft targets show it.
    The candidates are the images of class `label` that the teacher classifies correctly. For each resembling class, the
    images with the highest probability of that class at temperature `t` are chosen; no image is chosen twice. The last
    image is the one with the highest probability of `label`.

    Args:
      logits: the teacher's, [examples, num_classes].
      labels: [examples].
      images: grey, [examples, height, width] or [examples, height, width, 1]; whole numbers in 0..255, or floats in
        [0, 1].
      temperatures: temperatures of the predictions.
      label: the class of the images.
      resembling: classes that the images may resemble.
      examples_each: number of images for each resembling class; fewer if there are not enough.
      t: temperature for the ranking of the candidates.
      split: the split from which images are chosen.
    Returns:
      'temperatures' and 'examples'. Each example has 'id' (index in the split), 'label', 'image' (rows of ints,
      0..255), 'teacher' (class probabilities for each temperature) and 'why' it was chosen.
    Raises:
      UserError: malformed arrays, a class that does not exist, a temperature that is not positive, or no image of class
        `label` that the teacher classifies correctly.
    """
    teacher = logits_of(logits, split, 'soft_targets: logits')
    true = labels_of(labels, split, 'soft_targets: labels', teacher)
    pictures = _grey_images(images, split, len(teacher))
    checked_classes([label, *resembling], teacher.shape[-1], 'soft_targets: label and resembling', all_allowed=True)
    if min([t, *temperatures]) <= 0:
        raise UserError('soft_targets: every temperature must be greater than 0.')
    right = np.flatnonzero((true == label) & (teacher.argmax(axis=-1) == label))
    if not right.size:
        raise UserError(f'soft_targets: the teacher classifies no image of class {label} in split {split!r} correctly.')
    predictions = np.stack([np.exp(log_softmax(teacher / each)) for each in temperatures], axis=1)
    return {
        'temperatures': [float(each) for each in temperatures],
        'examples': [
            {
                'id': int(i),
                'label': int(label),
                'image': _grey_levels(pictures[i]),
                'teacher': predictions[i].tolist(),
                'why': why,
            }
            for i, why in _choose(np.exp(log_softmax(teacher / t)), right, label, resembling, examples_each)
        ],
    }


def _grey_images(images: Splits, split: str, count: int) -> np.ndarray:
    pictures = split_of(images, split, 'soft_targets: images')
    if pictures.ndim not in (3, 4) or len(pictures) != count or (pictures.ndim == 4 and pictures.shape[-1] != 1):
        raise UserError(
            f'soft_targets: images of split {split!r} have shape {pictures.shape}, but '
            f'must be [{count}, height, width], or the same with one channel.'
        )
    return pictures


def _choose(
    probabilities: np.ndarray,
    candidates: np.ndarray,
    label: int,
    resembling: Sequence[int],
    examples_each: int,
) -> list[tuple[int, str]]:
    chosen: dict[int, str] = {}
    for other in resembling:
        order = candidates[np.argsort(-probabilities[candidates, other], kind='stable')]
        fresh = [int(i) for i in order if int(i) not in chosen]
        chosen |= {i: f'{_article(label)} that looks like {_article(other)}' for i in fresh[:examples_each]}
    order = candidates[np.argsort(-probabilities[candidates, label], kind='stable')]
    ordinary = [int(i) for i in order if int(i) not in chosen]
    return [*chosen.items(), *((i, f'an ordinary {label}') for i in ordinary[:1])]


def _article(number: int) -> str:
    return f'an {number}' if number in (11, 18) or str(number).startswith('8') else f'a {number}'


def _grey_levels(picture: np.ndarray) -> list[list[int]]:
    picture = picture.reshape(picture.shape[:2])
    if np.issubdtype(picture.dtype, np.floating):
        picture = np.round(255.0 * picture)
    if picture.min() < 0 or picture.max() > 255:
        raise UserError('soft_targets: images must hold whole numbers in 0..255 or floats in [0, 1], not normalised.')
    return picture.astype(np.int64).tolist()
