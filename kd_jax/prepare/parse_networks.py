"""Parses the networks of a run's config."""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from kd_jax import models
from kd_jax.config import hyperparameters
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import parse_number, value_at
from kd_jax.config.import_by_name import find_by_name
from kd_jax.core.network import COMPUTE_DTYPES, SHARDINGS, UPDATES, Model, Network, Normalize
from kd_jax.core.optimizers import parse_optimizer
from kd_jax.core.paths import Path


def parse_network(name: str, config: Mapping[str, Any], default: Any, hparams: dict[str, Any], where: str) -> Network:
    """Parses a network with parameters of its own.

    Args:
      name: the name of the network.
      config: its options: those of `Network`, and the options of its model.
      default: config of the optimizer that a trained network without an optimizer gets.
      hparams: the numbers of the network are added here, under 'optimizers' and 'ema'.
      where: the place in the config, for messages.
    Raises:
      UserError: the model or the optimizer is missing, or an option is unknown, of the wrong type or out of range.
    """
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
        hparams['ema'][name] = parse_number(decay, hyperparameters.Fraction, f'{where}.decay')[1]
    optimizer = None
    if update == 'sgd':
        choice = options.pop('optimizer', default)
        if not choice:
            raise UserError(f"{where} is trained but has no optimizer: set the network's optimizer or the run's.")
        optimizer, hparams['optimizers'][name] = parse_optimizer(choice, f'{where}.optimizer')
    made = _parse_model(name, options, hparams, where)
    return Network(name, inputs=paths, optimizer=optimizer, **made, **fields)


def parse_shared_network(
    name: str, config: Mapping[str, Any], networks: Sequence[Network], hparams: dict[str, Any], where: str
) -> Network:
    """Parses a network with update='shared', which uses the parameters of one of the other `networks`.

    Without a model it is the other network on other inputs. With a model it is a function of the other network, such as
    an adversarial attack.

    Raises:
      UserError: the other network does not exist or has no parameters of its own, or an option is not allowed.
    """
    options = {key: option for key, option in config.items() if key not in ('update', 'of')}
    of = str(config.get('of', ''))
    base = next((network for network in networks if network.owner == of.removeprefix('~')), None)
    if base is None or base.update == 'shared':
        hint = suggest(of, [n.name for n in networks if n.update != 'shared'])
        raise UserError(
            f"{where} shares the parameters of '{of}', which is no network with parameters of its own. {hint}"
        )
    changed: dict[str, Any] = dict(name=name, inputs=_inputs(options, where), update='shared', of=base.name, init='')
    if 'model' in options:
        changed |= dict(_parse_model(name, options, hparams, where, base), normalize=None)
    elif options:
        raise UserError(f"{where} takes no {', '.join(options)}, because it is '{base.name}' on other inputs.")
    elif base.schedules:
        hparams['networks'][name] = hparams['networks'][base.name]
    return dataclasses.replace(base, **changed, sources=(base,), constant=of.startswith('~'), fresh=(), part=())


def _inputs(options: dict[str, Any], where: str) -> tuple[Path, ...]:
    inputs = options.pop('input', 'batch.image')
    return tuple(Path.parse(p, where) for p in (inputs if isinstance(inputs, list | tuple) else [inputs]))


def _parse_model(
    name: str, options: dict[str, Any], hparams: dict[str, Any], where: str, base: Network | None = None
) -> dict[str, Any]:
    """Makes the model that `options` name, with the other options as its arguments; adds its schedules to `hparams`.

    Args:
      name: the name of the network.
      options: the options of the model, and its name under 'model'.
      hparams: gets the numbers of the schedules.
      where: the place in the config, for messages.
      base: the network that the model is a function of, if it is one.
    Returns:
      the fields `module`, `model` and `schedules` of the `Network`.
    """
    called = options.pop('model')
    function = find_by_name(called, models, 'model', where)
    takes = 'network' if base else ''
    taken = {key: p for key, p in inspect.signature(function).parameters.items() if key not in ('parent', 'name')}
    if takes and takes not in taken:
        raise UserError(f'{where}: model {called!r} is not a function of another network; leave the model out.')
    known = [key for key in taken if key != takes]
    for key in options:
        if key not in known:
            raise UserError(f'{where}: model {called!r} takes no {key!r}. {suggest(key, known)}')
    missing = [key for key in known if taken[key].default is inspect.Parameter.empty and key not in options]
    if 'network' in missing:
        raise UserError(
            f"{where}: model {called!r} is a function of another network: set update='shared' and of='NAME'."
        )
    if missing and not any(taken[key].kind is inspect.Parameter.VAR_KEYWORD for key in missing):
        raise UserError(f'{where}: model {called!r} needs {", ".join(missing)}.')
    static, schedules, numbers = {}, {}, {}
    for key, option in options.items():
        if isinstance(option, Mapping) and 'schedule' in option:
            _check_takes_schedule(key, taken, f'{where}.{key}')
            schedules[key], numbers[key] = parse_number(option, taken[key].annotation, f'{where}.{key}')
        else:
            hyperparameters.check_option(option, taken[key].annotation, f'{where}.{key}')
            static[key] = lists_as_tuples(option)
    model = Model(function, static, takes)
    at_start = {key: float(value_at(schedules[key], numbers[key], jnp.zeros(()))) for key in schedules}
    try:
        module = model.make((base,) if base else (), at_start)
    except UserError as error:
        raise UserError(f'{where}: {error}') from error
    if not (hasattr(module, 'init') and hasattr(module, 'apply')):
        raise UserError(
            f'{where}: model {called!r} makes {module!r}, but a model must have init and apply, as linen modules do.'
        )
    if schedules:
        hparams['networks'][name] = numbers
    return dict(module=module, model=model, schedules=schedules)


def _check_takes_schedule(key: str, taken: Mapping[str, inspect.Parameter], where: str) -> None:
    if not hyperparameters.is_float(taken[key].annotation):
        able = [other for other, p in taken.items() if hyperparameters.is_float(p.annotation)]
        hint = f'such as {", ".join(able)}' if able else 'and this model has none'
        raise UserError(f'{where} is a schedule, but only an option that is declared as a float can be one, {hint}.')


def lists_as_tuples(option: Any) -> Any:
    """Turns lists into tuples, so that the object that holds the option can be hashed."""
    return tuple(lists_as_tuples(o) for o in option) if isinstance(option, list | tuple) else option
