"""How much the generalist and the specialists of specialists.py learn from, and what that costs."""

from typing import NamedTuple

CLASSES, SPECIALISTS, SUBSET, PIXELS, MEMBERS = 1000, 12, 100, 14 * 42, 2
TRANSFER, TRANSFER_EPOCHS = 100_000, 40  # of students; recorded targets of 1,000 classes take 2 kB each
SOFT_T = 2.0  # temperature of all soft targets
KINDS = {'specialist': 'started from the generalist', 'fresh': 'started from nothing', 'soft': 'with soft targets'}


class Setting(NamedTuple):
    """How much there is to learn from, and how much is learned.

    Attributes:
      train: number of training images.
      width: units in each of the two hidden layers of the generalist and of every specialist.
      epochs: of the generalist.
      specialist_epochs: of a specialist, each of twice the images of its classes.
      text: what it stands for.
      why: why specialists do not help, or help little.
      gain: title of the claim that specialists help.
    """

    train: int
    width: int
    epochs: int
    specialist_epochs: int
    text: str
    why: str
    gain: str = 'Relative gain in accuracy by specialists'

    def parameters(self, width: int = 0, classes: int = CLASSES) -> int:
        """The number of weights and biases of a net with two hidden layers."""
        width = width or self.width
        return (PIXELS + 1) * width + (width + 1) * width + (width + 1) * classes

    @property
    def generalist_cost(self) -> int:
        return self.parameters() * self.epochs * self.train

    @property
    def extra_cost(self) -> int:
        """Of all specialists."""
        examples = self.specialist_epochs * 2 * self.train * SUBSET // CLASSES
        return SPECIALISTS * self.parameters(classes=SUBSET + 1) * examples

    @property
    def total_cost(self) -> int:
        return self.generalist_cost + self.extra_cost

    @property
    def longer(self) -> int:
        """Epochs of a generalist at the cost of generalist and specialists."""
        return round(self.total_cost / (self.parameters() * self.train))

    @property
    def wider(self) -> int:
        """Units of a generalist at this cost."""
        widths = range(self.width, 1000)
        return next(width for width in widths if self.parameters(width) * self.epochs * self.train >= self.total_cost)

    @property
    def member_epochs(self) -> int:
        """Epochs of each member of an ensemble at this cost."""
        return round(self.total_cost / (MEMBERS * self.parameters() * self.train))


SETTINGS = {
    '': Setting(
        400_000, 128, 10, 5,
        'A specialist sees 40,000 images of its classes. That is too few to know these better than the generalist.',
        'Told that the class is one of its own, a specialist is right no more often than the generalist, so it has '
        'nothing to add. It sees 40,000 images of its classes, as the generalist does.',
    ),
    'many': Setting(
        1_600_000, 64, 12, 11,
        'The nets are small and the images many, so that size limits them, as in the paper. A trial with one seed '
        '(4 epochs of the generalist, 3 or 12 of specialists) showed that specialists must be trained long.',
        'Told that the class is one of its own, a specialist is right hardly more often than the generalist. The '
        'correction of the dustbin takes away what it adds.',
        'Relative gain in accuracy by specialists: smaller nets, four times as many images',
    ),
}  # fmt: skip
