"""A network of a recipe: a model, its inputs, and how its parameters are updated."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.config import hyperparameters
from kd_jax.config.errors import UserError
from kd_jax.core.follow import Follow
from kd_jax.core.optimizers import Optimizer
from kd_jax.core.paths import Path
from kd_jax.devices.tensor_axis import WHOLE, Split

UPDATES = ('sgd', 'follow', 'frozen', 'shared')
SHARDINGS = ('replicated', 'fsdp')
COMPUTE_DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Normalize:
    """Normalises images in [0, 1]: (image - mean) / std, with one number or one for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def parse(cls, config: Any, where: str) -> 'Normalize':
        """Parses dict(mean=..., std=...); raises a UserError if it is anything else."""
        known = ('mean', 'std')
        if not isinstance(config, Mapping) or set(config) != set(known):
            raise UserError(f'{where} is {config!r}, but it must be dict(mean=..., std=...).')
        values = [config[key] if isinstance(config[key], list | tuple) else (config[key],) for key in known]
        if not all(hyperparameters.is_number(v) and not isinstance(v, Mapping) for both in values for v in both):
            raise UserError(f'{where}: mean and std must be numbers, one or one for each channel, not {config!r}.')
        if len(values[0]) != len(values[1]) or not values[0]:
            raise UserError(f'{where}: mean and std must be of equal length, not {config!r}.')
        ranges = {'mean': float, 'std': hyperparameters.Positive}
        return cls(
            *(
                tuple(hyperparameters.parse_number(value, ranges[key], f'{where}.{key}')[1] for value in both)
                for key, both in zip(known, values, strict=True)
            )
        )

    def __call__(self, image: jax.Array) -> jax.Array:
        """Normalises images [..., channels]; with a single mean the shape may be any."""
        if not jnp.issubdtype(image.dtype, jnp.floating):
            raise ValueError(
                f'normalize needs floats, but the input has type {image.dtype}; only batch.image of type uint8 is '
                'scaled to floats'
            )
        mean, std = (jnp.asarray(numbers, image.dtype) for numbers in (self.mean, self.std))
        if mean.size not in (1, image.shape[-1]):
            raise ValueError(f'normalize has {mean.size} means, but the input has {image.shape[-1]} channels')
        return (image - mean) / std


@dataclasses.dataclass(frozen=True)
class Model:
    """What makes a network's module: a function or class, its static options, and how it takes other networks.

    `takes` is the name of the argument for them: 'network' for a function of another network, 'networks' for a function
    of several, '' for any other model.
    """

    function: Callable[..., Any]
    options: Mapping[str, Any]
    takes: str = ''

    def make(self, sources: Sequence['Network'], numbers: Mapping[str, Any]) -> Any:
        """Makes the module from the networks that it is a function of, and from its numbers."""
        given = {self.takes: sources[0] if self.takes == 'network' else tuple(sources)} if self.takes else {}
        return self.function(**given, **self.options, **numbers)


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A named model, what it reads, and how its parameters are updated.

    Attributes:
      name: the first part of the paths that read it.
      module: its model, with the numbers that it has at the start: a linen module, or an adapter with its `init` and
        `apply` (see `models.pretrained`).
      inputs: the paths of its positional arguments.
      update: how its parameters are updated: 'sgd' (by its optimizer), 'follow' (by a rule, after the network `of`),
        'frozen' (never), or 'shared' (it uses the parameters of the networks `of`, in the same mode as those networks).
      of: the network that a 'follow' network follows, or the networks whose parameters a 'shared' network uses.
      constant: for a 'shared' network and each network of `of`, whether those parameters are constants here, so that no
        gradient reaches them; written as of='~judge'.
      copies: number of copies, stacked on a leading axis of parameters and activations; 0 for one without that axis.
      own_batches: whether each copy reads its own part of the batch (see `core.own_batches`).
      init: initial variables: '' (random), 'run:NAME', 'run:NAME/NETWORK', 'torch:FILE', 'gguf:FILE',
        'huggingface:DIRECTORY', or the directory of a run.
      fresh: top-level modules that start from random values although `init` has them.
      part: the only top-level modules that are taken from `init`, which may have others; () for all.
      init_layers: the layers of `init`, counted from 1, that its own layers start from; () for all.
      normalize: its own normalisation of images, applied to its first input.
      optimizer: the optimizer of an 'sgd' network.
      follow: the rule of a 'follow' network.
      stacked: for each input, whether it has the same number of copies, so that each copy reads its own.
      compute_dtype: the precision that parameters and inputs are cast to when the network runs. The parameters of
        networks that are not frozen, and the activations that others read, are kept in float32.
      sharding: 'replicated', or 'fsdp', which splits parameters and optimizer state over devices (`core.placement`).
      model: makes the module with other numbers.
      schedules: the schedule of each option of the model that is not constant. Its numbers are leaves of `hparams`.
      sources: for a 'shared' network, the networks of `of`.
    """

    name: str
    module: Any
    inputs: tuple[Path, ...]
    update: str = 'sgd'
    of: tuple[str, ...] = ()
    constant: tuple[bool, ...] = ()
    copies: int = 0
    own_batches: bool = False
    init: str = ''
    fresh: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    init_layers: tuple[int, ...] = ()
    normalize: Normalize | None = None
    optimizer: Optimizer | None = None
    follow: Follow | None = None
    stacked: tuple[bool, ...] = ()
    compute_dtype: str = 'float32'
    sharding: str = 'replicated'
    model: Model | None = None
    schedules: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sources: tuple['Network', ...] = ()

    @property
    def several(self) -> bool:
        """Whether its model is a function of several networks: its variables are a tuple, those of each of them."""
        return self.model is not None and self.model.takes == 'networks'

    @property
    def in_training_mode(self) -> bool:
        """Whether it runs in training mode while a run trains: it, or a network that it uses, has an optimizer."""
        return self.optimizer is not None or any(source.optimizer is not None for source in self.sources)

    @property
    def learns(self) -> bool:
        """Whether a gradient that reaches its activations reaches parameters that are trained."""
        pairs = zip(self.sources, self.constant, strict=True)
        return self.optimizer is not None or any(s.optimizer is not None and not constant for s, constant in pairs)

    @property
    def layer_stacks(self) -> tuple[str, ...]:
        """The top-level modules of its model whose arrays lead with an axis of layers, such as those of decoders."""
        return getattr(self.module, 'stacked', ())

    def tensor_split(self, parts: int) -> Split:
        """The parameters of its model that `parts` devices share, and along which axis (`devices.tensor_axis`).

        Raises:
          UserError: the model cannot be split into so many parts; the message does not name the network.
        """
        rules = getattr(self.module, 'tensor_split', None)
        return rules(parts) if rules and parts > 1 else WHOLE

    def at(self, numbers: Mapping[str, Mapping[str, Any]]) -> 'Network':
        """The network with the numbers of its model as given, by network and option; they may be traced.

        A model that is a function of other networks gets them with the given numbers, too.
        """
        own = numbers.get(self.name, {})
        of = self.sources if self.model and self.model.takes else ()
        sources = tuple(source.at(numbers) for source in of)
        if not own and sources == of:
            return self
        assert self.model is not None
        return dataclasses.replace(self, module=self.model.make(sources, own))

    def normalized(self, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """The inputs as its module takes them: the first one normalised."""
        return (self.normalize(inputs[0]), *inputs[1:]) if self.normalize else inputs

    def convolves(self, variables: Any) -> bool:
        """Whether it has a kernel of a convolution over images."""
        return bool(self.convolution_kernels(variables))

    def convolution_kernels(self, variables: Any) -> list[Any]:
        """Its kernels of convolutions over images, which have four axes, and one more with copies."""
        return [array for array in jax.tree.leaves(variables) if array.ndim - (self.copies > 0) >= 4]
