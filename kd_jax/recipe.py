"""A recipe: the networks and terms of a run, checked and put in order of dependency."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import flax.linen as nn

from kd_jax import hyperparameters, lookup, losses, models, optimizers
from kd_jax.errors import UserError, suggest
from kd_jax.optimizers import Optimizer

UPDATES = ('sgd', 'ema', 'frozen')
SHARDINGS = ('replicated', 'fsdp')
COMPUTE_DTYPES = ('float32', 'bfloat16')
TERM_KEYS = ('loss', 'weight', 'mask')


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


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A named model and how its parameters move.

    Attributes:
      name: what paths call it.
      module: a linen module, or an adapter with its `init` and `apply` (see models/adapters.py): no more is used.
      inputs: paths to its positional arguments.
      update: 'sgd' (its optimizer trains it), 'ema' (follows the network `of`) or 'frozen'.
      of: the network that an 'ema' network averages.
      copies: how many are stacked on a leading axis of parameters and activations; 0 for one without that axis.
      init: where it starts from: '' (random), 'run:NAME', 'run:NAME/NETWORK', 'torch:FILE', or a run's directory.
      fresh: top-level modules that start at random although `init` has them.
      part: top-level modules that alone are taken from `init`, which may have others; () for all.
      normalize: its own normalisation of images, applied to its first input.
      optimizer: of an 'sgd' network.
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
    copies: int = 0
    init: str = ''
    fresh: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    normalize: Normalize | None = None
    optimizer: Optimizer | None = None
    stacked: tuple[bool, ...] = ()
    compute_dtype: str = 'float32'
    sharding: str = 'replicated'


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """One weighted loss: a pure function, the paths it reads, its options, and an optional mask.

    `reads` has, for each positional parameter of `loss`, a path or a tuple of paths (stacked on a new leading axis).
    `compares` says that the loss relates the examples of a batch to each other: it declares `where`, for the mask.
    """

    name: str
    loss: Callable[..., Any]
    reads: tuple[Path | tuple[Path, ...], ...]
    static: Mapping[str, Any]
    schedules: Mapping[str, str]
    mask: Path | None = None
    compares: bool = False

    def paths(self) -> list[Path]:
        flat = [p for read in self.reads for p in (read if isinstance(read, tuple) else (read,))]
        return [*flat, self.mask] if self.mask else flat


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """Networks in order of dependency and terms; `hparams` holds every number that may change without compiling."""

    networks: tuple[Network, ...]
    terms: tuple[Term, ...]
    hparams: Mapping[str, Any]

    def network(self, name: str) -> Network:
        return next(network for network in self.networks if network.name == name)

    @property
    def trained(self) -> tuple[Network, ...]:
        return tuple(network for network in self.networks if network.update == 'sgd')

    @property
    def frozen(self) -> tuple[Network, ...]:
        return tuple(network for network in self.networks if network.update == 'frozen')


def parse(config: Mapping[str, Any], where: str = 'config') -> Recipe:
    """The recipe that a run's config describes under `networks`, `terms` and `optimizer`.

    Raises:
      UserError: an unknown model, loss, optimizer, option or network, a number out of its range, or networks that read
        each other in a circle. Names of activations are checked later, by `initialize.check`, which knows them.
    """
    networks, terms = [], []
    hparams: dict[str, Any] = {'optimizers': {}, 'terms': {}, 'ema': {}}
    for name, options in config.get('networks', {}).items():
        options = {'compute_dtype': config.get('compute_dtype', 'float32'), **options}
        networks.append(_network(name, options, config.get('optimizer'), hparams, f"{where}, network '{name}'"))
    for name, options in config.get('terms', {}).items():
        terms.append(_term(name, options, hparams, f"{where}, term '{name}'"))
    names = {network.name for network in networks} | {'batch'}
    for place, paths in [(f"network '{n.name}'", n.inputs) for n in networks] + [
        (f"term '{t.name}'", t.paths()) for t in terms
    ]:
        for path in paths:
            if path.source not in names:
                hint = suggest(path.source, names)
                raise UserError(f"{where}, {place} reads '{path}', but there is no network '{path.source}'. {hint}")
    for network in networks:
        if network.update == 'ema' and network.of not in {n.name for n in networks if n.update == 'sgd'}:
            hint = suggest(network.of, [n.name for n in networks if n.update == 'sgd'])
            raise UserError(f"{where}, network '{network.name}' averages '{network.of}', which is not trained. {hint}")
    copies = {network.name: network.copies for network in networks}
    networks = [
        dataclasses.replace(n, stacked=tuple(0 < n.copies == copies.get(path.source) for path in n.inputs))
        for n in networks
    ]
    return Recipe(_in_order(networks, where), tuple(terms), hparams)


def _network(name: str, config: Mapping[str, Any], default: Any, hparams: dict[str, Any], where: str) -> Network:
    options = dict(config)
    if 'model' not in options:
        raise UserError(f'{where} has no model. {suggest("", models.__all__)}')
    model = lookup.named(options.pop('model'), models, 'model', where)
    inputs = options.pop('input', 'batch.image')
    paths = tuple(Path.parse(p, where) for p in (inputs if isinstance(inputs, list | tuple) else [inputs]))
    own = ('update', 'of', 'copies', 'init', 'sharding', 'compute_dtype')
    fields: dict[str, Any] = {key: options.pop(key) for key in own if key in options}
    for key in ('fresh', 'part'):
        modules = options.pop(key, ())
        fields[key] = (modules,) if isinstance(modules, str) else tuple(modules)
    if 'normalize' in options:
        fields['normalize'] = Normalize.parse(options.pop('normalize'), f'{where}.normalize')
    update = fields.get('update', 'sgd')
    if update not in UPDATES:
        raise UserError(f'{where}: there is no update {update!r}. {suggest(update, UPDATES)}')
    for key, choices in (('sharding', SHARDINGS), ('compute_dtype', COMPUTE_DTYPES)):
        if fields.get(key, choices[0]) not in choices:
            raise UserError(f'{where}: there is no {key} {fields[key]!r}. {suggest(str(fields[key]), choices)}')
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
    known = [key for key in inspect.signature(model).parameters if key not in ('parent', 'name')]
    for key in options:
        if key not in known:
            raise UserError(f'{where}: model {config["model"]!r} takes no {key!r}. {suggest(key, known)}')
    try:
        module = model(**{key: _hashable(option) for key, option in options.items()})
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    return Network(name, module, paths, optimizer=optimizer, **fields)


def _term(name: str, config: Mapping[str, Any], hparams: dict[str, Any], where: str) -> Term:
    if 'loss' not in config:
        raise UserError(f'{where} has no loss. {suggest("", losses.__all__)}')
    loss = lookup.named(config['loss'], losses, 'loss', where)
    positional, keywords = lookup.signature(loss)
    compares = keywords.pop('where', None) is not None
    for key in config:
        if key not in (*positional, *keywords, *TERM_KEYS):
            hint = suggest(key, [*positional, *keywords, *TERM_KEYS])
            raise UserError(f'{where}: loss {loss.__name__} takes no {key!r}. {hint}')
    missing = [key for key in positional if key not in config]
    if missing:
        raise UserError(f'{where}: loss {loss.__name__} needs a path for {", ".join(missing)}.')
    reads: list[Path | tuple[Path, ...]] = []
    for key in positional:
        read = config[key]
        if isinstance(read, list | tuple):
            reads.append(tuple(Path.parse(p, where) for p in read))
        else:
            reads.append(Path.parse(read, where))
    options = {key: config.get(key, p.default) for key, p in keywords.items()}
    required = [key for key, option in options.items() if option is inspect.Parameter.empty]
    if required:
        raise UserError(f'{where}: loss {loss.__name__} needs {", ".join(required)}.')
    annotations = {key: p.annotation for key, p in keywords.items()}
    options['weight'], annotations['weight'] = config.get('weight', 1.0), float
    schedules, numbers, static = {}, {}, {}
    for key, option in options.items():
        if isinstance(option, int) and annotations[key] is int:
            static[key] = option
        elif hyperparameters.is_number(option) and get_origin(annotations[key]) is not Literal:
            schedules[key], numbers[key] = hyperparameters.split(option, annotations[key], f'{where}.{key}')
        else:
            _check_option(key, option, annotations[key], where)
            static[key] = _hashable(option)
    hparams['terms'][name] = numbers
    mask = Path.parse(config['mask'], where) if config.get('mask') else None
    return Term(name, loss, tuple(reads), static, schedules, mask, compares)


def _check_option(key: str, option: Any, annotation: Any, where: str) -> None:
    if get_origin(annotation) is Literal and option not in get_args(annotation):
        raise UserError(f'{where}: there is no {key} {option!r}. {suggest(str(option), get_args(annotation))}')
    if annotation is float or (get_args(annotation)[:1] == (float,) and len(get_args(annotation)) == 3):
        raise UserError(f'{where}.{key} is {option!r}, which is not a number.')


def _hashable(option: Any) -> Any:
    return tuple(_hashable(o) for o in option) if isinstance(option, list | tuple) else option


def _in_order(networks: Sequence[Network], where: str) -> tuple[Network, ...]:
    """Networks such that each comes after those it reads."""
    done: list[Network] = []
    waiting = list(networks)
    while waiting:
        names = {network.name for network in waiting}
        ready = [n for n in waiting if not names & {path.source for path in n.inputs}]
        if not ready:
            raise UserError(f'{where}: networks {", ".join(sorted(names))} read each other in a circle.')
        done += ready
        waiting = [network for network in waiting if network not in ready]
    return tuple(done)
