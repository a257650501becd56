"""A recipe: the networks and terms of a run, checked and put in order of dependency."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_origin

from kd_jax import hyperparameters, lookup, losses
from kd_jax.errors import UserError, suggest
from kd_jax.network import Network, Path, hashable, parse_network, shared_network

TERM_KEYS = ('loss', 'weight', 'mask')


@dataclasses.dataclass(frozen=True, eq=False)
class Term:
    """One weighted loss: a pure function, the paths it reads, its options, and an optional mask.

    `reads` has, for each positional parameter of `loss`, a path or a tuple of paths (stacked on a new leading axis).
    `given` has the paths of those of its numbers that a network gives, one for all examples; a temperature, say.
    `compares` says that the loss relates the examples of a batch to each other: it declares `where`, for the mask.
    """

    name: str
    loss: Callable[..., Any]
    reads: tuple[Path | tuple[Path, ...], ...]
    static: Mapping[str, Any]
    schedules: Mapping[str, str]
    given: Mapping[str, Path]
    mask: Path | None = None
    compares: bool = False

    def paths(self) -> list[Path]:
        flat = [p for read in self.reads for p in (read if isinstance(read, tuple) else (read,))]
        return [*flat, *self.given.values(), *([self.mask] if self.mask else [])]


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
    def owners(self) -> tuple[Network, ...]:
        """Networks that have variables of their own."""
        return tuple(network for network in self.networks if network.owner == network.name)

    @property
    def moving(self) -> tuple[Network, ...]:
        """Networks whose variables are in the state, and so in checkpoints."""
        return tuple(network for network in self.owners if network.update != 'frozen')

    @property
    def frozen(self) -> tuple[Network, ...]:
        return tuple(network for network in self.networks if network.update == 'frozen')


def parse(config: Mapping[str, Any], where: str = 'config') -> Recipe:
    """The recipe that a run's config describes under `networks`, `terms` and `optimizer`.

    A term's numbers that are another run's result ('result:RUN.PATH') and not known yet are taken to be 1.

    Raises:
      UserError: an unknown model, loss, optimizer, option or network, a number out of its range, or networks that read
        each other in a circle. Names of activations are checked later, by `initialize.check`, which knows them.
    """
    networks: list[Network] = []
    terms: list[Term] = []
    hparams: dict[str, Any] = {'optimizers': {}, 'terms': {}, 'ema': {}}
    described = config.get('networks', {})
    for name in sorted(described, key=lambda name: described[name].get('update') == 'shared'):
        options, place = described[name], f"{where}, network '{name}'"
        if options.get('update') == 'shared':
            networks.append(shared_network(name, options, networks, place))
        else:
            options = {'compute_dtype': config.get('compute_dtype', 'float32'), **options}
            networks.append(parse_network(name, options, config.get('optimizer'), hparams, place))
    for name, options in _with_ones(config.get('terms', {})).items():
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
    schedules, numbers, given, static = {}, {}, {}, {}
    for key, option in options.items():
        if isinstance(option, int) and annotations[key] is int:
            static[key] = option
        elif isinstance(option, str) and '.' in option and hyperparameters.is_float(annotations[key]):
            given[key] = Path.parse(option, f'{where}.{key}')
        elif hyperparameters.is_number(option) and get_origin(annotations[key]) is not Literal:
            schedules[key], numbers[key] = hyperparameters.split(option, annotations[key], f'{where}.{key}')
        else:
            hyperparameters.check_option(option, annotations[key], f'{where}.{key}')
            static[key] = hashable(option)
    hparams['terms'][name] = numbers
    mask = Path.parse(config['mask'], where) if config.get('mask') else None
    return Term(name, loss, tuple(reads), static, schedules, given, mask, compares)


def _with_ones(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _with_ones(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map(_with_ones, tree))
    return 1.0 if isinstance(tree, str) and tree.startswith('result:') else tree


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
