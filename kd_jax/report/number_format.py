"""Formats numbers; all rules for digits, signs, percentages and durations are here."""

import math

from kd_jax.report.result_files import Measure

DASH = '–'
Unit = str  # 'count', 'fraction' (written in percent), 'seconds', 'nats', 'number'; or the name of any other unit
PLAIN = ('count', 'nats', 'number', 'seconds')  # units that a heading does not name


def heading(text: str, unit: Unit) -> str:
    """Returns a column's heading, with the unit if the numbers need one."""
    sign = '%' if unit == 'fraction' else '' if unit in PLAIN else unit
    return f'{text} ({sign})' if sign not in text else text


def decimals(value: float, unit: Unit, n: int = 1) -> int:
    """Returns the number of decimals for a number that is the mean of n seeds."""
    if unit == 'fraction':
        return 2
    if abs(value) >= 10_000:
        return 0
    if unit in ('count', 'seconds'):
        return 0 if n == 1 and float(value).is_integer() else 1
    if n == 1 and float(value).is_integer():
        return 0
    size = abs(value)
    if 0 < size < 0.001:
        return min(9, 1 - math.floor(math.log10(size)))
    return 1 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.1 else 4


def plain(value: float | None, unit: Unit, digits: int | None = None) -> str:
    """Formats a number; fractions in percent, without the percent sign: 0.9854 -> '98.54'."""
    if value is None:
        return DASH
    digits = decimals(value, unit) if digits is None else digits
    scaled = 100 * value if unit == 'fraction' else value
    text = f'{scaled:,.{digits}f}'
    return text.replace('-', '−') if float(text.replace(',', '')) else text.lstrip('-')


def measured(value: Measure | None, unit: Unit, digits: int | None = None) -> str:
    """Formats a measure: '74.3 ± 2.1' for several seeds, '74' for one."""
    if value is None:
        return DASH
    digits = decimals(value.mean, unit, value.n) if digits is None else digits
    text = plain(value.mean, unit, digits)
    return text if value.sd is None else f'{text} ± {plain(value.sd, unit, digits)}'


def quoted(value: float | None, unit: Unit) -> str:
    """Formats a number that is given, such as a paper's, with all its digits: 0.589 -> '58.9'."""
    if value is None:
        return DASH
    return f'{100 * value if unit == "fraction" else value:,.8g}'.replace('-', '−')


def signed(value: float | None, unit: Unit, digits: int | None = None) -> str:
    """Formats a difference with its sign: '+7.3', '−72'; a difference of fractions is in percentage points."""
    if value is None:
        return DASH
    text = plain(value, unit, digits)
    return text if text.startswith('−') or not text.strip('0.') else f'+{text}'


def with_unit(text: str, unit: Unit) -> str:
    """Appends the unit to `text`, for numbers in sentences and figures."""
    if text == DASH or unit in PLAIN:
        return text
    return f'{text}%' if unit == 'fraction' else f'{text} {unit}'


def named(name: str, value: float | None, unit: Unit) -> str:
    """A number with its name: '146 errors', 'accuracy 98.54%', 'mse 0.0071'."""
    text = with_unit(plain(value, unit), unit)
    return f'{text} {name}' if unit == 'count' else f'{name} {text}'


def with_plural(n: int, thing: str) -> str:
    return f'{n} {thing}' if n == 1 else f'{n} {thing}s'


def seeds(n: int) -> str:
    return with_plural(n, 'seed')


def duration(seconds: float | None) -> str:
    """Formats seconds: 80.2 -> '1 min 20 s'; 7500 -> '2 h 05 min'."""
    if seconds is None:
        return DASH
    if seconds < 9.95:
        return f'{seconds:.1f} s'
    whole = round(seconds)
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        return f'{whole // 60} min {whole % 60:02d} s'
    minutes = round(seconds / 60)
    return f'{minutes // 60} h {minutes % 60:02d} min'
