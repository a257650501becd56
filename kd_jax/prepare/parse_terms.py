"""Parses the terms of a run's config."""

import inspect
from collections.abc import Mapping
from typing import Any

from kd_jax import losses
from kd_jax.config import hyperparameters
from kd_jax.config.described import REQUIRED, Described
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.hyperparameters import parse_number
from kd_jax.config.import_by_name import find_by_name, parameters_of
from kd_jax.config.references import map_leaves, parse_result
from kd_jax.core.paths import Path
from kd_jax.core.term import Term
from kd_jax.prepare.parse_networks import lists_as_tuples

TERM_OPTIONS = {
    'loss': Described("name of the loss, or your own function 'package.module:function'", REQUIRED, 'text'),
    'weight': Described('what the loss is multiplied by', 1.0, 'number'),
    'mask': Described(
        'path of an array with the axis of examples first; what is greater than 0 counts, floats as weights',
        None,
        'path',
    ),
}


def parse_term(name: str, config: Mapping[str, Any], hparams: dict[str, Any], where: str) -> Term:
    """Parses one term.

    The positional parameters of its loss are paths. The keyword-only parameters are numbers and other options. A number
    may be a constant, a schedule, or the path of a scalar that a network computes.

    Args:
      name: the name of the term.
      config: its loss, weight and mask, and the parameters of the loss.
      hparams: the numbers of the term are added here, under 'terms'.
      where: the place in the config, for messages.
    Raises:
      UserError: a parameter of the loss is missing, unknown, of the wrong type or out of range.
    """
    if 'loss' not in config:
        raise UserError(f'{where} has no loss. {suggest("", losses.__all__)}')
    loss = find_by_name(config['loss'], losses, 'loss', where)
    positional, keywords = parameters_of(loss)
    compares = keywords.pop('where', None) is not None
    for key in config:
        if key not in (*positional, *keywords, *TERM_OPTIONS):
            hint = suggest(key, [*positional, *keywords, *TERM_OPTIONS])
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
    options['weight'], annotations['weight'] = config.get('weight', TERM_OPTIONS['weight'].default), float
    schedules, numbers, given, static = {}, {}, {}, {}
    for key, option in options.items():
        if isinstance(option, str) and '.' in option and hyperparameters.is_float(annotations[key]):
            given[key] = Path.parse(option, f'{where}.{key}')
        elif hyperparameters.is_number(option) and not hyperparameters.is_static(annotations[key]):
            schedules[key], numbers[key] = parse_number(option, annotations[key], f'{where}.{key}')
        else:
            hyperparameters.check_option(option, annotations[key], f'{where}.{key}')
            static[key] = lists_as_tuples(option)
    hparams['terms'][name] = numbers
    mask = None if config.get('mask') in (None, '') else Path.parse(config['mask'], where)
    return Term(name, loss, tuple(reads), static, schedules, given, mask, compares)


def unknown_results_as_ones(tree: Any) -> Any:
    """Puts 1 in place of every value that still refers to a result of another run ('result:RUN.PATH')."""
    return map_leaves(lambda leaf: leaf if parse_result(leaf) is None else 1.0, tree)
