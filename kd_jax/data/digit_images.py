"""Images of digits: smaller ones, and rows of several digits that write a number."""

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.devices.memory import host_bytes


def shrunk(images: np.ndarray, by: int) -> np.ndarray:
    """Replaces each block of `by` x `by` pixels by its mean; by is 1, 2 or 4.

    Raises:
      UserError: `by` is another number.
    """
    if by not in (1, 2, 4):
        raise UserError(f'data.shrink is {by}, but it must be 1, 2 or 4.')
    count, height, width = images.shape
    blocks = images.reshape(count, height // by, by, width // by, by)
    return images if by == 1 else np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def check_rows(digits: int, sources: int, pool: int, size: int) -> None:
    """Checks the options of a source of rows of digits, whose images need `size` bytes in total.

    Raises:
      UserError: `digits` is not between 1 and 4, `sources` is not between 10 and `pool`, or this machine has less
        memory than `size`.
    """
    if not 1 <= digits <= 4:
        raise UserError(f'data.digits is {digits}, but it must be between 1 and 4.')
    if not 10 <= sources <= pool:
        raise UserError(f'data.sources is {sources}, but it must be between 10 and {pool}.')
    memory = host_bytes()
    if memory and size > memory:
        raise UserError(
            f'the images of data.train, valid and test need {size / 2**30:,.1f} GiB, but this machine has '
            f'{memory / 2**30:,.1f} GiB; take fewer.'
        )


def rows_of_digits(
    images: np.ndarray, labels: np.ndarray, digits: int, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws numbers, each class as often as any other to within one example, and an image of each of their digits.

    Args:
      images: single digits, [images, height, width].
      labels: [images], in [0, 10).
      digits: number of digits of a number.
      count: number of examples.
      seed: of the draw.
    Returns:
      images, [count, height, width * digits], and labels, [count], in [0, 10**digits): the number with leading zeros.
    """
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(count) % 10**digits).astype(np.int32)
    by_digit = np.argsort(labels, kind='stable')
    sizes = np.bincount(labels, minlength=10)
    starts = np.cumsum(sizes) - sizes
    places = [label // 10**power % 10 for power in reversed(range(digits))]
    drawn = [by_digit[starts[digit] + rng.integers(sizes[digit])] for digit in places]
    return np.concatenate([images[ids] for ids in drawn], axis=2), label
