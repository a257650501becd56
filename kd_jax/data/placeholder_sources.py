"""Placeholder data sets: the shapes of public data sets, without their data.

They serve to compute what depends on shapes alone, such as the cost of a run. Names and options are those of
`data/sources.py`.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kd_jax.data import text_sources
from kd_jax.data.lazy_images import Images
from kd_jax.data.sequence_packing import ARRAYS
from kd_jax.data.source import Arrays, Source
from kd_jax.data.token_rows import PREDICTED

__all__ = ['cifar10', 'cifar100', 'imagenet2012', 'text', 'tfds_text']

SENTIMENT = {'valence': np.float32, 'positive': np.int64}  # the numbers of the included reviews


def cifar10(*, data_dir: str | None = None) -> Source:
    """CIFAR-10: 50,000 training and 10,000 test images, 32 x 32 pixels, 10 classes."""
    return Source(_black(50_000, 32, 10), _black(10_000, 32, 10), 10)


def cifar100(*, data_dir: str | None = None) -> Source:
    """CIFAR-100: 50,000 training and 10,000 test images, 32 x 32 pixels, 100 classes."""
    return Source(_black(50_000, 32, 100), _black(10_000, 32, 100), 100)


def imagenet2012(*, data_dir: str | None = None, size: int = 224, resize: int = 256) -> Source:
    """ImageNet: 1,281,167 training and 50,000 test images in 1000 classes, read one by one."""
    train, test = (
        {'image': Images(_Examples(count, resize), 'imagenet2012, placeholder', 1000, size, resize)}
        for count in (1_281_167, 50_000)
    )
    return Source(train, test, 1000)


@functools.wraps(text_sources.text, assigned=())  # with its options
def text(
    *,
    length: int = 128,
    documents: Any = '',
    predicts: str = 'next',
    pack: bool = True,
    sentences: bool = False,
    **options: Any,
) -> Source:
    """Rows of padding, 10,000 for training; no file and no tokenizer is read."""
    arrays = {name: kind for name, kind in ARRAYS.items() if predicts != 'nothing' or name not in PREDICTED}
    numbers = SENTIMENT if documents == 'sentiment' and not (pack or sentences) else {}
    splits: list[Arrays] = [
        {
            **{name: np.broadcast_to(np.zeros((), kind), (count, length)) for name, kind in arrays.items()},
            **{name: np.zeros(count, kind) for name, kind in numbers.items()},
        }
        for count in (10_000, 1000, 1000)
    ]
    return Source(splits[0], splits[1], None, splits[2])


@functools.wraps(text_sources.tfds_text, assigned=())
def tfds_text(*, length: int = 128, predicts: str = 'next', **options: Any) -> Source:
    """As `text`."""
    return text(length=length, predicts=predicts)


def without_data(config: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the data source of a run's config by its placeholder, if there is one.

    Padding has no masked words, and nobody writes samples from a tokenizer that is not there.
    """
    data = dict(config.get('data', {}))
    if data.get('source') in __all__:
        data['source'] = globals()[data['source']]
        if data.get('in_memory') is False:  # the rows of the placeholder are in memory
            data['resident'] = False
        if 'mask_words' in data.get('augment', {}):
            data = {name: option for name, option in data.items() if name not in ('augment', 'views')}
        config = {name: option for name, option in config.items() if name != 'samples'}
    return {**config, 'data': data}


class _Examples(Sequence[Any]):
    """Black images of class 0."""

    def __init__(self, count: int, size: int):
        self._count, self._image = count, np.zeros((size, size, 3), np.uint8)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        return {'image': self._image, 'label': 0}


def _black(count: int, size: int, num_classes: int) -> Arrays:
    """Black images that share one pixel in memory."""
    image = np.broadcast_to(np.uint8(0), (count, size, size, 3))
    return {'image': image, 'label': np.arange(count, dtype=np.int32) % num_classes}
