"""A network of a recipe: a model, its inputs, and how its parameters move."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.config import hyperparameters
from kd_jax.config.errors import UserError
from kd_jax.core.optimizers import Optimizer
from kd_jax.core.paths import Path

UPDATES = ('sgd', 'ema', 'frozen', 'shared')


SHARDINGS = ('replicated', 'fsdp')


COMPUTE_DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Normalize:
    """(image - mean) / std, each of one number or one a channel, for images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def parse(cls, config: Any, where: str) -> 'Normalize':
        known = ('mean', 'std')
        if not isinstance(config, Mapping) or set(config) != set(known):
            raise UserError(f'{where} is {config!r}, but it must be dict(mean=..., std=...).')
        values = [config[key] if isinstance(config[key], list | tuple) else (config[key],) for key in known]
        if not all(hyperparameters.is_number(v) and not isinstance(v, Mapping) for both in values for v in both):
            raise UserError(f'{where}: mean and std are numbers, one or one a channel, not {config!r}.')
        if len(values[0]) != len(values[1]) or min(values[1], default=0) <= 0:
            raise UserError(f'{where}: mean and std must be equally many, and std greater than 0, not {config!r}.')
        return cls(*(tuple(map(float, both)) for both in values))

    def __call__(self, image: jax.Array) -> jax.Array:
        """Images as a network expects them: [..., channels], or of any shape where there is one mean alone."""
        mean, std = (jnp.asarray(numbers, image.dtype) for numbers in (self.mean, self.std))
        if mean.size not in (1, image.shape[-1]):
            raise ValueError(f'normalize has {mean.size} means, but the input has {image.shape[-1]} channels')
        return (image - mean) / std


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A named model and how its parameters move.

    Attributes:
      name: what paths call it.
      module: a linen module, or an adapter with its `init` and `apply` (see models/adapters.py): no more is used.
      inputs: paths to its positional arguments.
      update: 'sgd' (its optimizer trains it), 'ema' (follows the network `of`), 'frozen', or 'shared' (runs with the
        parameters of the network `of`, and as that does in training).
      of: the network that an 'ema' network averages, or whose parameters a 'shared' one has.
      constant: of a 'shared' network, whether no gradient reaches those parameters from here: of='~judge'.
      copies: how many are stacked on a leading axis of parameters and activations; 0 for one without that axis.
      init: where it starts from: '' (random), 'run:NAME', 'run:NAME/NETWORK', 'torch:FILE', or a run's directory.
      fresh: top-level modules that start at random although `init` has them.
      part: top-level modules that alone are taken from `init`, which may have others; () for all.
      normalize: its own normalisation of images, applied to its first input.
      optimizer: of an 'sgd' network, and of those that share its parameters.
      stacked: for each input, whether it comes from a network of as many copies, so that each copy reads its own.
      compute_dtype: what its parameters and inputs are cast to where it runs; both are kept, and its activations are
        read, in float32.
      sharding: 'replicated', or 'fsdp': parameters and optimizer state split over devices (see `sharding.py`).
    """

    name: str
    module: nn.Module
    inputs: tuple[Path, ...]
    update: str = 'sgd'
    of: str = ''
    constant: bool = False
    copies: int = 0
    init: str = ''
    fresh: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    normalize: Normalize | None = None
    optimizer: Optimizer | None = None
    stacked: tuple[bool, ...] = ()
    compute_dtype: str = 'float32'
    sharding: str = 'replicated'

    @property
    def owner(self) -> str:
        """The network whose variables it runs with."""
        return self.of if self.update == 'shared' else self.name

    def normalized(self, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """Inputs as its module takes them."""
        return (self.normalize(inputs[0]), *inputs[1:]) if self.normalize else inputs

    def convolves(self, variables: Any) -> bool:
        """Whether its variables have a kernel of a convolution over images, which has four axes."""
        return any(array.ndim - (self.copies > 0) >= 4 for array in jax.tree.leaves(variables))
