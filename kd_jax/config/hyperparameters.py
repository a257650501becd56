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

# A range is a sentence and a function that says whether a number is in the range; there may be several.
Positive = Annotated[float, 'must be greater than 0', lambda x: x > 0]
Temperature = Annotated[
    Positive,
    'must lie between 1e-6 and 1e6, because beyond that float32 loses the differences of logits / t, or t^2 becomes 0',
    lambda t: 1e-6 <= t <= 1e6,
]
Count = Annotated[int, 'must be 1 or more', lambda number: number >= 1]
Repeats = Annotated[Count, 'must be at most 2000, because each makes the program longer', lambda n: n <= 2000]
NonNegative = Annotated[float, 'must not be negative', lambda x: x >= 0]
Below1 = Annotated[float, 'must be at least 0 and less than 1', lambda x: 0 <= x < 1]
Fraction = Annotated[float, 'must lie between 0 and 1', lambda x: 0 <= x <= 1]
InnerFraction = Annotated[float, 'must be greater than 0 and less than 1', lambda x: 0 < x < 1]


TWO_ROUNDINGS = 4 * 2.0**-23  # more than the relative error of a float32 after two operations


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
    # In a compiled program, progress may be the step times the rounded reciprocal of all steps, a little too small.
    return start * factor ** jnp.sum(progress >= jnp.array(at) * (1 - TWO_ROUNDINGS))


SHARES = ('at', 'begin', 'until', 'warmup')  # moments of a schedule, as shares of the run
LONGEST = 1000  # numbers in an option that is a tuple
INT32 = 2**31
SEVERAL = (Sequence[int], Sequence[float], tuple[int, ...], tuple[float, ...])
STATIC = (int, int | None, bool, str, str | None, *SEVERAL)
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
        return '', _checked(value, annotation, where)
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
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f'{where}: the arguments of schedule {name!r} must be numbers ({error}).') from error
    given = {key: p.default for key, p in options.items()} | numbers
    _check_shares(given, where)
    if name == 'linear' and not given['begin'] < given['until']:
        raise UserError(f'{where}: begin is {given["begin"]:g} and until is {given["until"]:g}; until must be greater.')
    if name == 'cosine' and not 0 <= given['warmup'] < 1:
        raise UserError(f'{where}: warmup is {given["warmup"]:g}, but it must be at least 0 and less than 1.')
    for key in ('start', 'peak', 'end'):
        if key in options:
            _checked(given[key], annotation, f'{where}.{key}')
    for times in range(1, len(given.get('at', ())) + 1):
        _checked(given['start'] * given['factor'] ** times, annotation, f'{where} after {times} of its steps')
    if numbers.get('warmup'):
        _checked(0.0, annotation, f'{where} at the start of its warmup')
    return name, numbers


def _check_shares(given: Mapping[str, Any], where: str) -> None:
    """Refuses moments of a schedule that are no shares of the run, such as numbers of epochs."""
    for key in (key for key in SHARES if key in given):
        moments = given[key] if key == 'at' else (given[key],)
        if not moments or len(moments) > LONGEST:
            raise UserError(f'{where}.at has {len(moments)} numbers, but it must have 1 to {LONGEST}.')
        for share in moments:
            if not 0 <= share <= 1:
                raise UserError(
                    f'{where}.{key} holds {share:g}, but the moments of a schedule are shares of the run, between 0 '
                    f'and 1; for epoch {share:g} write {share:g} / EPOCHS.'
                )


def value_at(schedule: str, numbers: Any, progress: jax.Array) -> jax.Array:
    """The value of a number, as `parse_number` returns it, at `progress` in [0, 1]."""
    return SCHEDULES[schedule](progress, **numbers) if schedule else numbers


def check_option(option: Any, annotation: Any, where: str) -> None:
    """Raises a UserError if an option of a model or a loss is not of the type and range that its parameter declares."""
    if get_origin(annotation) is Literal and option not in get_args(annotation):
        kind = where.rpartition('.')[2]
        hint = suggest(option, map(str, get_args(annotation)))
        raise UserError(f'{where.rpartition(".")[0]}: there is no {kind} {option!r}. {hint}')
    declared = _declared(annotation)
    whole = isinstance(option, int) and not isinstance(option, bool)
    if declared is int and not whole:
        raise UserError(f'{where} is {option!r}, but it must be a whole number.')
    if declared == (int | None) and option is not None and not whole:
        raise UserError(f'{where} is {option!r}, but it must be a whole number or None.')
    if declared in (int, int | None) and whole:
        _check_whole(option, annotation, where)
    if declared is bool and not isinstance(option, bool):
        raise UserError(f'{where} is {option!r}, but it must be True or False.')
    if declared in (str, str | None) and not (isinstance(option, str) or (option is None and declared is not str)):
        raise UserError(f'{where} is {option!r}, but it must be a text{"" if declared is str else " or None"}.')
    if declared is float:
        if not (whole or isinstance(option, float)):
            raise UserError(f'{where} is {option!r}, which is not a number.')
        _checked(option, annotation, where)
    if declared in SEVERAL:
        _check_several(option, declared, where)


def _check_several(option: Any, declared: Any, where: str) -> None:
    """Refuses an option that is no tuple of numbers. `Sequence[int]` declares sizes, which are 1 or more."""
    floats = get_args(declared)[0] is float
    kinds, least = ((int, float), -math.inf) if floats else ((int,), 1 if declared == Sequence[int] else -math.inf)
    whole = isinstance(option, int) and not isinstance(option, bool)
    if not isinstance(option, list | tuple) or not all(type(one) in kinds and one >= least for one in option):
        shown = f'({option},)' if whole and option > 0 else '(0.5, 0.5)' if floats else '(64, 32)'
        what = 'numbers' if floats else 'whole numbers' if declared != Sequence[int] else 'whole numbers, 1 or more'
        raise UserError(f'{where} is {option!r}, but it must be a tuple of {what}, such as {shown}.')
    if len(option) > LONGEST:
        raise UserError(f'{where} has {len(option)} numbers, but it must have at most {LONGEST}.')
    for one in option:
        _checked(one, float, where) if floats else _check_whole(one, int, where)


def is_static(annotation: Any) -> bool:
    """Whether a parameter is declared as an int, a text or another type that is fixed when the step is compiled."""
    return _declared(annotation) in STATIC or get_origin(annotation) is Literal


def is_float(annotation: Any) -> bool:
    """Whether a parameter is declared as a float, with or without a range."""
    return _declared(annotation) is float


def _declared(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _check_whole(number: int, annotation: Any, where: str) -> None:
    if not -INT32 <= number < INT32:
        raise UserError(f'{where} is {number}, but whole numbers have 32 bits: it must be less than {INT32} in size.')
    _check_ranges(number, annotation, where)


def _checked(number: float, annotation: Any, where: str) -> float:
    """The number as a float, if float32 can hold it and it is in the range that is declared."""
    try:
        number = float(number)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f'{where} is {number}, but it must be finite.')
    _check_ranges(number, annotation, where)
    largest, smallest = float(jnp.finfo(jnp.float32).max), float(jnp.finfo(jnp.float32).tiny)
    if abs(number) > largest or 0 < abs(number) < smallest:
        becomes = 'infinite' if abs(number) > largest else '0'
        raise UserError(f'{where} is {number:g}, which becomes {becomes} in float32; numbers here have 32 bits.')
    return number


def _check_ranges(number: float, annotation: Any, where: str) -> None:
    rules = get_args(annotation)[1:]
    for sentence, holds in zip(rules[::2], rules[1::2], strict=False):
        if isinstance(sentence, str) and callable(holds) and not holds(number):
            raise UserError(f'{where} is {number:g}, but it {sentence}.')
