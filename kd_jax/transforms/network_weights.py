"""What a transform reads and returns: the weights of a network and the options of the model that they fit."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class NetworkWeights(NamedTuple):
    """A network with its weights.

    Attributes:
      name: the name of the network.
      origin: the run that it comes from, for messages.
      variables: its variables by collection ('params', 'batch_stats', ...); arrays or, while a study is checked, traced
        arrays that have shapes only.
      options: its options in the config that say what its model is: `model`, the options of the model, `input`,
        `normalize` and `copies`.
    """

    name: str
    origin: str
    variables: Mapping[str, Any]
    options: Mapping[str, Any]
