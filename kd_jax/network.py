"""A network of a recipe: a named model, what it reads, and how its parameters move."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax import hyperparameters, lookup, models, optimizers
from kd_jax.errors import UserError, suggest
from kd_jax.optimizers import Optimizer

UPDATES = ('sgd', 'ema', 'frozen', 'shared')
SHARDINGS = ('replicated', 'fsdp')
COMPUTE_DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Path:
    """Where a network or a term reads: 'student.logits', 'batch.label'; '~peer.logits' stops the gradient."""

    source: str
    name: str
    stop: bool = False

    def __str__(self) -> str:
        return f'{"~" if self.stop else ""}{self.source}.{self.name}'

    @classmethod
    def parse(cls, text: Any, where: str) -> 'Path':
        if not isinstance(text, str) or '.' not in text:
            raise UserError(f"{where}: a path looks like 'student.logits' or 'batch.label', not {text!r}.")
        source, _, name = text.removeprefix('~').partition('.')
        return cls(source, name, text.startswith('~'))


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


def parse_network(name: str, config: Mapping[str, Any], default: Any, hparams: dict[str, Any], where: str) -> Network:
    options = dict(config)
    if 'model' not in options:
        raise UserError(f'{where} has no model. {suggest("", models.__all__)}')
    paths = _inputs(options, where)
    own = ('update', 'of', 'copies', 'init', 'sharding', 'compute_dtype')
    fields: dict[str, Any] = {key: options.pop(key) for key in own if key in options}
    for key in ('fresh', 'part'):
        modules = options.pop(key, ())
        fields[key] = tuple(modules) if isinstance(modules, list | tuple) else (modules,)
    if 'normalize' in options:
        fields['normalize'] = Normalize.parse(options.pop('normalize'), f'{where}.normalize')
    update = fields.get('update', 'sgd')
    if update not in UPDATES:
        raise UserError(f'{where}: there is no update {update!r}. {suggest(update, UPDATES)}')
    for key, choices in (('sharding', SHARDINGS), ('compute_dtype', COMPUTE_DTYPES)):
        if fields.get(key, choices[0]) not in choices:
            raise UserError(f'{where}: there is no {key} {fields[key]!r}. {suggest(str(fields[key]), choices)}')
    copies, of = fields.get('copies', 0), fields.get('of', '')
    if not isinstance(copies, int) or isinstance(copies, bool) or copies < 0:
        raise UserError(f'{where}: copies is {copies!r}, but it must be a whole number, 0 or more.')
    if not isinstance(of, str):
        raise UserError(f'{where}: of is {of!r}, but it must be the name of a network.')
    if update == 'ema':
        decay = options.pop('decay', 0.999)
        if isinstance(decay, Mapping) or not hyperparameters.is_number(decay):
            raise UserError(f'{where}.decay is {decay!r}; it must be a number between 0 and 1.')
        hparams['ema'][name] = hyperparameters.split(decay, hyperparameters.Fraction, f'{where}.decay')[1]
    optimizer = None
    if update == 'sgd':
        choice = options.pop('optimizer', default)
        if not choice:
            raise UserError(f"{where} is trained but has no optimizer: set the network's optimizer or the run's.")
        optimizer, hparams['optimizers'][name] = optimizers.parse(choice, f'{where}.optimizer')
    return Network(name, _module(options, where), paths, optimizer=optimizer, **fields)


def shared_network(name: str, config: Mapping[str, Any], networks: Sequence[Network], where: str) -> Network:
    """A network with the parameters of another: that one on other inputs, or a model that is a function of it."""
    options = {key: option for key, option in config.items() if key not in ('update', 'of')}
    of = str(config.get('of', ''))
    base = next((network for network in networks if network.owner == of.removeprefix('~')), None)
    if base is None or base.update == 'shared':
        hint = suggest(of, [n.name for n in networks if n.update != 'shared'])
        raise UserError(f"{where} shares the parameters of '{of}', which has none of its own. {hint}")
    changed: dict[str, Any] = dict(name=name, inputs=_inputs(options, where), update='shared', of=base.name, init='')
    if 'model' in options:
        changed |= dict(module=_module(options, where, network=base), normalize=None)
    elif options:
        raise UserError(f"{where} takes no {', '.join(options)}: it is '{base.name}' on other inputs.")
    return dataclasses.replace(base, **changed, constant=of.startswith('~'), fresh=(), part=())


def _inputs(options: dict[str, Any], where: str) -> tuple[Path, ...]:
    inputs = options.pop('input', 'batch.image')
    return tuple(Path.parse(p, where) for p in (inputs if isinstance(inputs, list | tuple) else [inputs]))


def _module(options: dict[str, Any], where: str, **given: Any) -> Any:
    """The model that the options name, made with the rest of them and with what is given."""
    name = options.pop('model')
    model = lookup.named(name, models, 'model', where)
    taken = {key: p for key, p in inspect.signature(model).parameters.items() if key not in ('parent', 'name')}
    for key in given:
        if key not in taken:
            raise UserError(f'{where}: model {name!r} is no function of another network; leave the model out.')
    known = [key for key in taken if key not in given]
    for key in options:
        if key not in known:
            raise UserError(f'{where}: model {name!r} takes no {key!r}. {suggest(key, known)}')
    missing = [key for key in known if taken[key].default is inspect.Parameter.empty and key not in options]
    if 'network' in missing:
        raise UserError(f"{where}: model {name!r} is a function of another network: set update='shared' and of.")
    if missing and not any(taken[key].kind is inspect.Parameter.VAR_KEYWORD for key in missing):
        raise UserError(f'{where}: model {name!r} needs {", ".join(missing)}.')
    for key, option in options.items():
        hyperparameters.check_option(option, taken[key].annotation, f'{where}.{key}') if key in taken else None
    try:
        made = model(**given, **{key: hashable(option) for key, option in options.items()})
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    if not (hasattr(made, 'init') and hasattr(made, 'apply')):
        raise UserError(f'{where}: model {name!r} makes {made!r}, but a model has init and apply, as linen modules do.')
    return made


def hashable(option: Any) -> Any:
    """Lists as tuples, so that what holds the option can be hashed."""
    return tuple(hashable(o) for o in option) if isinstance(option, list | tuple) else option
