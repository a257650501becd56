"""Numbers in a config: constants, schedules, and the ranges that losses and models declare for them.

A number is a float or a schedule, for example `dict(schedule='cosine', peak=0.1, warmup=0.05)`. A schedule is a
function of `progress`, the share of the run that is done. The floats of a number are leaves of `hparams`, an argument
of the training step, so a new value needs no new compilation. The schedules of optax branch on Python values and do
not accept traced numbers; the three schedules here do.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.import_by_name import parameters_of

Positive = Annotated[float, 'must be greater than 0', lambda x: x > 0]
NonNegative = Annotated[float, 'must not be negative', lambda x: x >= 0]
Fraction = Annotated[float, 'must lie between 0 and 1', lambda x: 0 <= x <= 1]
InnerFraction = Annotated[float, 'must be greater than 0 and less than 1', lambda x: 0 < x < 1]


def linear(progress: jax.Array, *, start: float, end: float, begin: float = 0.0, until: float = 1.0) -> jax.Array:
    """A straight line from `start` at progress `begin` to `end` at progress `until`; constant before and after."""
    share = jnp.clip((progress - begin) / (until - begin), 0.0, 1.0)
    return start + share * (end - start)


def cosine(progress: jax.Array, *, peak: float, end: float = 0.0, warmup: float = 0.0) -> jax.Array:
    """Linear warm-up from 0 to `peak` until progress `warmup`, then half a cosine from `peak` down to `end`."""
    fall = jnp.clip((progress - warmup) / (1.0 - warmup), 0.0, 1.0)
    rise = jnp.where(progress < warmup, progress / jnp.maximum(warmup, 1e-8), 1.0)
    return rise * (end + (peak - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * fall)))


def steps(progress: jax.Array, *, start: float, at: tuple[float, ...], factor: float = 0.1) -> jax.Array:
    """Starts at `start` and is multiplied by `factor` at each progress in `at`."""
    return start * factor ** jnp.sum(progress >= jnp.array(at))


SCHEDULES: dict[str, Callable[..., jax.Array]] = {'linear': linear, 'cosine': cosine, 'steps': steps}


def is_number(value: Any) -> bool:
    """Whether the value is a float, an int (not a bool) or a schedule."""
    if isinstance(value, Mapping):
        return 'schedule' in value
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_number(value: float | Mapping[str, Any], annotation: Any, where: str) -> tuple[str, Any]:
    """Parses a number and checks it against the declared range.

    Args:
      value: the number as written in the config.
      annotation: the annotation of the parameter; an annotation such as `Positive` declares a range.
      where: the place in the config, for messages.
    Returns:
      the name of the schedule ('' for a constant), and the constant or the arguments of the schedule, as floats.
    Raises:
      UserError: a value is out of range, the schedule is unknown, or an argument of the schedule is missing, unknown or
        not a number.
    """
    if not isinstance(value, Mapping):
        _check(float(value), annotation, where)
        return '', float(value)
    arguments = {key: v for key, v in value.items() if key != 'schedule'}
    name = value['schedule']
    if not isinstance(name, str) or name not in SCHEDULES:
        raise UserError(f'{where}: there is no schedule {name!r}. {suggest(name, SCHEDULES)}')
    _, options = parameters_of(SCHEDULES[name])
    for key in arguments:
        if key not in options:
            raise UserError(f'{where}: schedule {name!r} takes no {key!r}. {suggest(key, options)}')
    missing = [key for key, p in options.items() if p.default is p.empty and key not in arguments]
    if missing:
        raise UserError(f'{where}: schedule {name!r} needs {", ".join(missing)}.')
    try:
        numbers = {key: tuple(map(float, v)) if key == 'at' else float(v) for key, v in arguments.items()}
    except (TypeError, ValueError) as error:
        raise UserError(f'{where}: the arguments of schedule {name!r} must be numbers ({error}).') from error
    given = {key: p.default for key, p in options.items()} | numbers
    if name == 'linear' and not given['begin'] < given['until']:
        raise UserError(f'{where}: begin is {given["begin"]:g} and until is {given["until"]:g}; until must be greater.')
    if name == 'cosine' and not 0 <= given['warmup'] < 1:
        raise UserError(f'{where}: warmup is {given["warmup"]:g}, but it must be at least 0 and less than 1.')
    for key in ('start', 'peak', 'end'):
        if key in options:
            _check(numbers.get(key, options[key].default), annotation, f'{where}.{key}')
    if numbers.get('warmup'):
        _check(0.0, annotation, f'{where} at the start of its warmup')
    return name, numbers


def value_at(schedule: str, numbers: Any, progress: jax.Array) -> jax.Array:
    """The value of a number, as `parse_number` returns it, at `progress` in [0, 1]."""
    return SCHEDULES[schedule](progress, **numbers) if schedule else numbers


def check_option(option: Any, annotation: Any, where: str) -> None:
    """Raises a UserError if an option of a model or a loss is not of the type and range that its parameter declares."""
    if get_origin(annotation) is Literal and option not in get_args(annotation):
        kind = where.rpartition('.')[2]
        raise UserError(
            f'{where.rpartition(".")[0]}: there is no {kind} {option!r}. {suggest(option, get_args(annotation))}'
        )
    declared = _declared(annotation)
    whole = isinstance(option, int) and not isinstance(option, bool)
    if declared is int and not whole:
        raise UserError(f'{where} is {option!r}, but it must be a whole number.')
    if declared == (int | None) and option is not None and not whole:
        raise UserError(f'{where} is {option!r}, but it must be a whole number or None.')
    if declared is bool and not isinstance(option, bool):
        raise UserError(f'{where} is {option!r}, but it must be True or False.')
    if declared is float:
        if not (whole or isinstance(option, float)):
            raise UserError(f'{where} is {option!r}, which is not a number.')
        _check(float(option), annotation, where)
    if declared == Sequence[int] and not (
        isinstance(option, list | tuple) and all(type(one) is int and one > 0 for one in option)
    ):
        shown = f'({option},)' if whole and option > 0 else '(64, 32)'
        raise UserError(f'{where} is {option!r}, but it must be a tuple of whole numbers, 1 or more, such as {shown}.')


def is_float(annotation: Any) -> bool:
    """Whether a parameter is declared as a float, with or without a range."""
    return _declared(annotation) is float


def _declared(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _check(number: float, annotation: Any, where: str) -> None:
    if not math.isfinite(number):
        raise UserError(f'{where} is {number}, but it must be finite.')
    rules = get_args(annotation)[1:]
    if len(rules) == 2 and not rules[1](number):
        raise UserError(f'{where} is {number:g}, but it {rules[0]}.')
