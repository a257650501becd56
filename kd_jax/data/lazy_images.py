"""Images that are read, decoded and cropped on the host when a batch is fetched."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kd_jax.config.errors import UserError

Box = tuple[float, float, float, float]  # left, top, right, bottom
TRIES = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Images and labels of a split, read example by example; stored under 'image' among the arrays of the split.

    Attributes:
      examples: maps the number of an example to its image [height, width, channels] uint8 and its label. Its
        `checksum`, if it has one, tells these examples from others.
      name: name of the data set and the split, for messages.
      num_classes: labels are integers in [0, num_classes).
      size: height and width of the images that `read` returns, in pixels.
      resize: length to which the shorter side is scaled before the central square is cut out, in pixels.
      area: smallest share of the area that a random crop keeps; 0 for the central square.
      seed: seed of the random crops.
      workers: number of processes that read ahead (see `read_ahead`); 0 for threads.
    """

    examples: Sequence[Any]
    name: str
    num_classes: int
    size: int
    resize: int
    area: float = 0.0
    seed: int = 0
    workers: int = 0

    gives: ClassVar[tuple[str, ...]] = ('image', 'label')

    def __len__(self) -> int:
        return len(self.examples)

    def identity(self) -> str:
        """What tells these images from others, for checksums: their number and size, and the checksum of `examples`."""
        return f'{len(self)} {self.size} {self.resize} {self.checksum}'.rstrip()

    @property
    def checksum(self) -> str:
        """That of `examples`; '' if they have none."""
        return getattr(self.examples, 'checksum', '')

    def read(self, ids: np.ndarray, views: Any = None) -> dict[str, np.ndarray]:
        """Reads image [..., batch, size, size, 3] uint8 and label [..., batch] int32 of the given examples.

        Args:
          ids: numbers of the examples, [..., batch].
          views: number of the view for each batch, [...], which selects the random crop; None for the central crop.
        Raises:
          UserError: an example cannot be read, or its label is out of range.
        """
        each = np.broadcast_to(-1 if views is None else np.expand_dims(views, -1), ids.shape)
        read = [self._one(int(i), int(view)) for i, view in zip(ids.flat, each.flat, strict=True)]
        return {
            'image': np.stack([image for image, _ in read]).reshape(*ids.shape, self.size, self.size, 3),
            'label': np.array([label for _, label in read], np.int32).reshape(ids.shape),
        }

    def _one(self, number: int, view: int) -> tuple[np.ndarray, int]:
        from PIL import Image

        try:
            example = self.examples[number]
            array, label = example['image'], int(example['label'])
            image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).convert('RGB')
            if view >= 0 and self.area:
                # Streams 0 to 2 of a seed are used for the order of examples, the choice of examples and label noise.
                draws = np.random.default_rng([self.seed, 3, view, number]).random((TRIES, 4))
                box = random_box(image.width, image.height, self.area, draws)
            else:
                box = central_box(image.width, image.height, self.size / self.resize)
            cropped = np.asarray(image.resize((self.size, self.size), Image.Resampling.BILINEAR, box))
        except Exception as error:
            raise UserError(
                f'{self.name}: example {number} cannot be read ({error or type(error).__name__}).'
            ) from error
        if not 0 <= label < self.num_classes:
            raise UserError(
                f'{self.name}: example {number} has label {label}, which is not in [0, {self.num_classes}).'
            )
        return cropped, label


def central_box(width: int, height: int, share: float) -> Box:
    """Returns the central square whose side is `share` times the shorter side, at most the whole of it."""
    side = min(width, height) * min(share, 1.0)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def random_box(width: int, height: int, area: float, draws: np.ndarray) -> Box:
    """Returns a box with random area, aspect ratio and position inside the image.

    Szegedy et al. (2015), section 6: the share of the area is uniform between 8% and 100%, and the aspect ratio lies
    between 3/4 and 4/3. As usual, the logarithm of the aspect ratio is uniform. The result is the first try that fits
    into the image, or the central square if none fits.

    Args:
      width: width of the image.
      height: height of the image.
      area: smallest share of the area.
      draws: random numbers, uniform in [0, 1), [tries, 4].
    """
    for share, shape, across, down in draws:
        box_area = width * height * (area + (1.0 - area) * share)
        aspect = (3 / 4) ** (1.0 - 2.0 * shape)
        wide, high = math.sqrt(box_area * aspect), math.sqrt(box_area / aspect)
        if wide <= width and high <= height:
            left, top = across * (width - wide), down * (height - high)
            return left, top, left + wide, top + high
    return central_box(width, height, 1.0)
