"""What a transform reads and returns: the weights of a network and the options of the model that they fit."""

from collections.abc import Mapping
from types import MappingProxyType
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
      settings: values of the options of the model, defaults included, with which the same weights may compute something
        else although no shape shows it: whole numbers, and those that the model names in `not_in_shapes`.
    """

    name: str
    origin: str
    variables: Mapping[str, Any]
    options: Mapping[str, Any]
    settings: Mapping[str, Any] = MappingProxyType({})
