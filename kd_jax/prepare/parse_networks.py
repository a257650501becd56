"""Parses the networks of a run's config."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from kd_jax import models
from kd_jax.config import hyperparameters, renamed
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import parse_number, value_at
from kd_jax.config.import_by_name import find_by_name
from kd_jax.config.own_code import explain_own_code
from kd_jax.config.references import map_leaves, parse_result
from kd_jax.core.follow import parse_follow
from kd_jax.core.network import COMPUTE_DTYPES, SHARDINGS, UPDATES, Model, Network, Normalize
from kd_jax.core.optimizers import parse_optimizer
from kd_jax.core.paths import Path

SHARES = {  # the argument of a model for other networks, and what a config must say
    '': 'not a function of other networks: it has no argument network or networks',
    'network': "a function of another network: set update='shared' and of='NAME'",
    'networks': "a function of several networks: set update='shared' and of=['NAME', 'OTHER']",
}

MOST_COPIES = 1000


def parse_network(
    name: str, config: Mapping[str, Any], default: Any, hparams: dict[str, Any], where: str, trains: bool = True
) -> Network:
    """Parses a network with parameters of its own.

    Args:
      name: the name of the network.
      config: its options: those of `Network`, and the options of its model.
      default: config of the optimizer that a trained network without an optimizer gets.
      hparams: the numbers of the network are added here, under 'optimizers', 'follow' and 'networks'.
      where: the place in the config, for messages.
      trains: whether the run trains; if not, no network has an optimizer.
    Raises:
      UserError: the model or the optimizer is missing, or an option is unknown, of the wrong type or out of range.
    """
    options = dict(config)
    if 'model' not in options:
        raise UserError(f'{where} has no model. {suggest("", models.__all__)}')
    paths = _inputs(options, where)
    own = ('update', 'of', 'copies', 'own_batches', 'init', 'sharding', 'compute_dtype')
    fields: dict[str, Any] = {key: options.pop(key) for key in own if key in options}
    fields |= _taken_from_init(options, where)
    if 'normalize' in options:
        fields['normalize'] = Normalize.parse(options.pop('normalize'), f'{where}.normalize')
    update = fields.get('update', 'sgd')
    if update not in UPDATES:
        new = renamed.new_value('update', update)
        raise UserError(f'{where}: there is no update {update!r}. {new or suggest(update, UPDATES)}')
    for key, choices in (('sharding', SHARDINGS), ('compute_dtype', COMPUTE_DTYPES)):
        if fields.get(key, choices[0]) not in choices:
            raise UserError(f'{where}: there is no {key} {fields[key]!r}. {suggest(str(fields[key]), choices)}')
    copies, of = fields.get('copies', 0), fields.get('of', '')
    if not isinstance(copies, int) or isinstance(copies, bool) or copies < 0:
        raise UserError(f'{where}: copies is {copies!r}, but it must be a whole number, 0 or more.')
    if copies > MOST_COPIES:
        raise UserError(
            f'{where}: copies is {copies}, but at most {MOST_COPIES} copies are trained together, because each may add '
            'to the program; use several runs or seeds.'
        )
    _check_use(update, fields, options, where)
    hyperparameters.check_option(fields.get('own_batches', False), bool, f'{where}.own_batches')
    if fields.get('own_batches') and not copies:
        raise UserError(f'{where} has own_batches, so it must have copies, one for each part of the batch: set copies.')
    if not isinstance(of, str):
        raise UserError(f'{where}: of is {of!r}, but it must be the name of a network.')
    if of and update != 'follow':
        raise UserError(f"{where}: of={of!r} needs update='follow' or 'shared', but update is {update!r}.")
    fields['of'] = (of,) if of else ()
    if update == 'follow':
        fields['follow'], hparams['follow'][name] = parse_follow(options, where)
    optimizer = None
    if update == 'sgd' and trains:
        choice = options.pop('optimizer', default)
        if not choice:
            raise UserError(f"{where} is trained but has no optimizer: set the network's optimizer or the run's.")
        optimizer, hparams['optimizers'][name] = parse_optimizer(choice, f'{where}.optimizer')
    made = _parse_model(name, options, hparams, where)
    return Network(name, inputs=paths, optimizer=optimizer, **made, **fields)


def _taken_from_init(options: dict[str, Any], where: str) -> dict[str, tuple[Any, ...]]:
    """What a network takes of its `init`: the options `fresh`, `part` and `init_layers`, which leave `options`."""
    layers = options.pop('init_layers', ())
    hyperparameters.check_option(layers, Sequence[int], f'{where}.init_layers')
    modules = {key: _modules(options.pop(key, ()), f'{where}: {key}') for key in ('fresh', 'part')}
    return {**modules, 'init_layers': tuple(layers)}


def _modules(names: Any, where: str) -> tuple[str, ...]:
    """The names of modules: one of them, or a list."""
    modules = tuple(names) if isinstance(names, list | tuple) else (names,)
    if not all(isinstance(module, str) for module in modules):
        raise UserError(f'{where} is {names!r}, but it must be a list of names of modules.')
    return modules


def _check_use(update: str, fields: Mapping[str, Any], options: Mapping[str, Any], where: str) -> None:
    """Refuses options that do nothing for a network with this update, or without another option."""
    for key in ('fresh', 'part', 'init_layers'):
        if fields[key] and not fields.get('init'):
            raise UserError(
                f'{where} has {key}={fields[key]!r} but no init from which weights are taken; set init, or leave {key} '
                'out.'
            )
    if fields['fresh'] and fields['part']:
        raise UserError(f'{where} has both fresh and part; part alone says what is taken from init.')
    if update != 'sgd' and 'optimizer' in options:
        raise UserError(f'{where} has an optimizer, but update={update!r} does not train it; leave one of them out.')


def parse_shared_network(
    name: str, config: Mapping[str, Any], networks: Sequence[Network], hparams: dict[str, Any], where: str
) -> Network:
    """Parses a network with update='shared', which uses the parameters of other `networks`.

    Without a model it is the other network on other inputs. With a model it is a function of the other network, such as
    an adversarial attack, or of several: of=['~student', '~teacher'].

    Raises:
      UserError: another network does not exist or has no parameters of its own, the other networks differ in an option,
        or an option is not allowed.
    """
    options = {key: option for key, option in config.items() if key not in ('update', 'of')}
    of = config.get('of', '')
    several = isinstance(of, list | tuple)
    names = [str(one) for one in of] if several else [str(of)]
    sources = tuple(_network_to_share(one, networks, where) for one in names or [''])
    base = sources[0]
    changed: dict[str, Any] = dict(
        name=name, inputs=_inputs(options, where), update='shared', of=tuple(source.name for source in sources),
        constant=tuple(one.startswith('~') for one in names), sources=sources, optimizer=None,
        init='', fresh=(), part=(), init_layers=(),
    )  # fmt: skip
    for key in ('copies', 'own_batches', 'compute_dtype'):
        values = [getattr(source, key) for source in sources]
        if len(set(values)) > 1:
            shown = ', '.join(f'{source.name} {value}' for source, value in zip(sources, values, strict=True))
            raise UserError(f'{where} is a function of networks that must have the same {key}, not {shown}.')
    if 'model' in options:
        takes = 'networks' if several else 'network'
        changed |= dict(_parse_model(name, options, hparams, where, sources, takes), normalize=None)
    elif several:
        raise UserError(
            f'{where} shares the parameters of several networks, so it needs a model that is a function of them.'
        )
    elif options:
        raise UserError(f"{where} takes no {', '.join(options)}, because it is '{base.name}' on other inputs.")
    elif base.schedules:
        hparams['networks'][name] = hparams['networks'][base.name]
    return dataclasses.replace(base, **changed)


def _network_to_share(name: str, networks: Sequence[Network], where: str) -> Network:
    able = {network.name: network for network in networks if network.update != 'shared'}
    if name.removeprefix('~') not in able:
        raise UserError(
            f"{where} shares the parameters of '{name}', which is no network with parameters of its own. "
            f'{suggest(name, able)}'
        )
    return able[name.removeprefix('~')]


def _inputs(options: dict[str, Any], where: str) -> tuple[Path, ...]:
    inputs = options.pop('input', 'batch.image')
    return tuple(Path.parse(p, where) for p in (inputs if isinstance(inputs, list | tuple) else [inputs]))


def _parse_model(
    name: str,
    options: dict[str, Any],
    hparams: dict[str, Any],
    where: str,
    sources: Sequence[Network] = (),
    takes: str = '',
) -> dict[str, Any]:
    """Makes the model that `options` name, with the other options as its arguments; adds its schedules to `hparams`.

    Args:
      name: the name of the network.
      options: the options of the model, and its name under 'model'.
      hparams: gets the numbers of the schedules.
      where: the place in the config, for messages.
      sources: the networks that the model is a function of.
      takes: the name of the argument for them, see `Model`.
    Returns:
      the fields `module`, `model` and `schedules` of the `Network`.
    """
    called = options.pop('model')
    options = _without_unknown_results(options)
    function = find_by_name(called, models, 'model', where)
    taken = {key: p for key, p in inspect.signature(function).parameters.items() if key not in ('parent', 'name')}
    wanted = next((key for key in SHARES if key in taken), '')
    if takes != wanted:
        raise UserError(f'{where}: model {called!r} is {SHARES[wanted]}.')
    known = [key for key in taken if key != takes]
    for key in options:
        if key not in known:
            raise UserError(f'{where}: model {called!r} takes no {key!r}. {suggest(key, known)}')
    missing = [key for key in known if taken[key].default is inspect.Parameter.empty and key not in options]
    if missing and not any(taken[key].kind is inspect.Parameter.VAR_KEYWORD for key in missing):
        raise UserError(f'{where}: model {called!r} needs {", ".join(missing)}.')
    static, schedules, numbers = {}, {}, {}
    for key, option in options.items():
        if isinstance(option, Mapping) and 'schedule' in option:
            _check_takes_schedule(key, taken, f'{where}.{key}')
            schedules[key], numbers[key] = parse_number(option, taken[key].annotation, f'{where}.{key}')
        else:
            hyperparameters.check_option(option, taken[key].annotation, f'{where}.{key}')
            whole = isinstance(option, int) and hyperparameters.is_float(taken[key].annotation)
            static[key] = float(option) if whole else lists_as_tuples(option)
    model = Model(function, static, takes)
    at_start = {key: float(value_at(schedules[key], numbers[key], jnp.zeros(()))) for key in schedules}
    try:
        with explain_own_code(f'model {called!r} fails'):
            module = model.make(sources, at_start)
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    if not (hasattr(module, 'init') and hasattr(module, 'apply')):
        raise UserError(
            f'{where}: model {called!r} makes {module!r}, but a model must have init and apply, as linen modules do.'
        )
    if schedules:
        hparams['networks'][name] = numbers
    return dict(module=module, model=model, schedules=schedules)


def _without_unknown_results(options: dict[str, Any]) -> dict[str, Any]:
    """Leaves out options that are results of other runs, not known yet; such a value within an option becomes 1."""
    known = {key: option for key, option in options.items() if parse_result(option) is None}
    return map_leaves(lambda leaf: leaf if parse_result(leaf) is None else 1, known)


def _check_takes_schedule(key: str, taken: Mapping[str, inspect.Parameter], where: str) -> None:
    if not hyperparameters.is_float(taken[key].annotation):
        able = [other for other, p in taken.items() if hyperparameters.is_float(p.annotation)]
        hint = f'such as {", ".join(able)}' if able else 'and this model has none'
        raise UserError(f'{where} is a schedule, but only an option that is declared as a float can be one, {hint}.')


def lists_as_tuples(option: Any) -> Any:
    """Turns lists into tuples, so that the object that holds the option can be hashed."""
    return tuple(lists_as_tuples(o) for o in option) if isinstance(option, list | tuple) else option
