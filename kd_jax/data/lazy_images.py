"""Images that are read, decoded and cropped on the host when a batch is fetched."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kd_jax.config.errors import UserError

Box = tuple[float, float, float, float]  # left, top, right, bottom


TRIES = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """The images and labels of a split that is read at random, under 'image' among a split's arrays.

    Attributes:
      examples: gives, for an example's number, image [height, width, channels] uint8 and label.
      name: of the data set and the split, for messages.
      num_classes: labels are integers in [0, num_classes).
      size: height and width of what is given.
      resize: what the shorter side is scaled to before its central square is cut out.
      area: the least share of the area that a crop drawn at random keeps; 0 for the central square.
      seed: of random crops.
      workers: processes that read ahead, see `stream`; 0 for threads.
    """

    examples: Sequence[Any]
    name: str
    num_classes: int
    size: int
    resize: int
    area: float = 0.0
    seed: int = 0
    workers: int = 0

    def __len__(self) -> int:
        return len(self.examples)

    def read(self, ids: np.ndarray, views: Any = None) -> dict[str, np.ndarray]:
        """image [..., batch, size, size, 3] uint8 and label [..., batch] int32 of the examples `ids` [..., batch].

        Args:
          ids: numbers of examples.
          views: the epoch [...] whose random crop each batch gets; None for the central one.
        Raises:
          UserError: an example cannot be read, or its label is no class.
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
                # The streams 0 to 2 of a seed are the order, the choice and the noise of examples.
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
    """The square in the middle whose side is `share` of the shorter side, at most all of it."""
    side = min(width, height) * min(share, 1.0)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def random_box(width: int, height: int, area: float, draws: np.ndarray) -> Box:
    """A box of a random share of the area and of a random shape, anywhere in the image.

    Szegedy et al. (2015), section 6: the share of the area is uniform between 8% and all, and the aspect ratio lies
    between 3/4 and 4/3 (as usual its logarithm is uniform). The first of the tries that fits is taken, the central
    square if none does.

    Args:
      width, height: of the image.
      area: the least share of the area.
      draws: uniform in [0, 1), [tries, 4].
    """
    for share, shape, across, down in draws:
        box_area = width * height * (area + (1.0 - area) * share)
        aspect = (3 / 4) ** (1.0 - 2.0 * shape)
        wide, high = math.sqrt(box_area * aspect), math.sqrt(box_area / aspect)
        if wide <= width and high <= height:
            left, top = across * (width - wide), down * (height - high)
            return left, top, left + wide, top + high
    return central_box(width, height, 1.0)
