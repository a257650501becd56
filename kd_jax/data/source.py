"""What a data source returns: the arrays of its splits, and what their numbers mean."""

import dataclasses
from typing import Any, NamedTuple, Protocol, runtime_checkable

Arrays = dict[str, Any]


@runtime_checkable
class ReadFromFiles(Protocol):
    """Examples of a split that are read from files when a batch needs them, stored among its arrays.

    Attributes:
      gives: the names of the arrays that it reads.
      workers: number of processes that read ahead (see `read_ahead`); 0 for threads.
    """

    @property
    def gives(self) -> tuple[str, ...]: ...

    @property
    def workers(self) -> int: ...

    def __len__(self) -> int: ...

    def identity(self) -> str:
        """What tells its examples from others, for checksums."""
        ...

    def read(self, ids: Any, views: Any = None) -> Arrays:
        """Reads the arrays of the examples of these numbers, `ids` [..., batch]; `views` [...] selects random crops."""
        ...


def reads_files(arrays: Arrays) -> bool:
    """Whether examples of a split are read from files when a batch needs them."""
    return any(isinstance(array, ReadFromFiles) for array in arrays.values())


class Vocabulary(NamedTuple):
    """The tokens of a text source.

    Attributes:
      tokenizer: the tokenizer, as the config names it.
      size: number of tokens; every id is smaller.
      mask: the token that stands for a masked word; None if the tokenizer has none.
      predicts: 'next' if `label` is the token after each token; 'masked' if it is the token itself, and some are
        masked; 'nothing' if there is no such label.
      teacher: the vocabulary of 'teacher_tokens' (see `data.aligned_text`); None if there are none.
    """

    tokenizer: str
    size: int
    mask: int | None = None
    predicts: str = 'next'
    teacher: 'Vocabulary | None' = None


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Arrays by name, each with a leading axis of examples. A batch carries them under the same names.

    Some names have a meaning: `image` may be uint8, which networks see as floats in [0, 1], and augmentations change
    it. An entry that is `ReadFromFiles` reads several arrays only when a batch needs them: images, with their labels
    unless `label` is in memory, or rows of text. If `num_classes` is given, `label` holds integers in [0, num_classes).

    Attributes:
      train: training examples.
      test: test examples; empty if there are none.
      num_classes: number of classes of `label`; None if there are no classes.
      valid: validation examples of the source's own; None or empty if they are to be held out of `train`.
      vocabulary: the tokens of a text source, whose rows share documents: no row of `train` is held out. None for all
        other sources.
    """

    train: Arrays
    test: Arrays = dataclasses.field(default_factory=dict)
    num_classes: int | None = None
    valid: Arrays | None = None
    vocabulary: Vocabulary | None = None
