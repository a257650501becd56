"""Tables of options in Markdown, read from signatures, docstrings and the descriptions that the parsers share."""

import inspect
import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from kd_jax.config.described import REQUIRED, Described

KINDS: dict[Any, str] = {
    bool: 'True, False', float: 'number', int: 'whole number', str: 'text', type(None): 'None',
    Sequence[int]: 'tuple of whole numbers', tuple[int, ...]: 'tuple of whole numbers',
    Sequence[float]: 'tuple of numbers', tuple[float, ...]: 'tuple of numbers',
}  # fmt: skip
RANGES = {'must not be negative': '0 or more'}
SECTIONS = ('Args', 'Attributes')
NOT_SET = '–'
NAME = r"[A-Z][\w'-]+"
PLACE = r'(?:, (?:section|equation|algorithm) [\d.]*\d)'
CITED = re.compile(rf'{NAME}(?:(?: &|,| and) {NAME})*(?: et al\.)? \((?:19|20)\d\d[^)]*\){PLACE}?')


class Row(NamedTuple):
    """An option: its name, its type and range, its default and its meaning, in words."""

    name: str
    kind: str
    default: str
    meaning: str


def table(rows: Iterable[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = ['| option | type | default | meaning |', '|---|---|---|---|']
    for row in rows:
        cells = (f'`{row.name}`', escaped(row.kind), row.default.replace('|', '\\|'), escaped(row.meaning))
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def escaped(text: str) -> str:
    """Text of a docstring as Markdown that shows it unchanged; what is in backquotes stays code."""
    parts = re.split(r'(`[^`]*`)', text)
    plain = ''.join(part if part[:1] == '`' else re.sub(r'([*<~]|\b_|_\b)', r'\\\1', part) for part in parts)
    return plain.replace('|', '\\|')


def kind_of(annotation: Any) -> str:
    """The type and range that a parameter declares, in words: 'number greater than 0'."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *rules = get_args(annotation)
        ranges = ', '.join(range_of(rule) for rule in rules if isinstance(rule, str))
        return f'{kind_of(base)}{" " if ranges.startswith(("greater", "between")) else ", "}{ranges}'
    if origin is Literal:
        return ', '.join(map(repr, get_args(annotation)))
    if origin in (Union, types.UnionType):
        return ' or '.join(dict.fromkeys(filter(None, map(kind_of, get_args(annotation)))))
    return 'dictionary' if origin is Mapping else KINDS.get(annotation, '')


def range_of(rule: str) -> str:
    """The sentence of a range, such as 'must be greater than 0', as the end of a type."""
    return re.sub('^must (lie |be )?', '', RANGES.get(rule, rule).partition(', because')[0])


def shown(default: Any) -> str:
    """A default as it is written in a config; 'required' for an option that has none."""
    if default is REQUIRED or default is inspect.Parameter.empty:
        return 'required'
    return f'`{default:.4g}`' if isinstance(default, float) else f'`{default!r}`'


def described(options: Mapping[str, Described], kinds: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of options that the code describes; `kinds` gives the types that the code declares elsewhere."""
    rows = []
    for name, option in options.items():
        words = option.default is None or (isinstance(option.default, str) and ' ' in option.default)
        default = (option.default or NOT_SET) if words else shown(option.default)
        rows.append(Row(name, option.kind or (kinds or {})[name], default, option.meaning))
    return rows


def rows_of(
    function: Callable[..., Any], left_out: Collection[str] = (), paths: Mapping[str, str] | None = None
) -> list[Row]:
    """The rows of the parameters of a function or the fields of a class, with their meaning out of its docstring.

    Args:
      function: the function or class.
      left_out: parameters that are no options.
      paths: if given, positional parameters are paths in a config, and these are the defaults of some.
    Raises:
      KeyError: the docstring does not explain a parameter.
    """
    meaning, rows = entries(inspect.getdoc(function) or ''), []
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if name in left_out or parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if name not in meaning:
            raise KeyError(f'{function.__module__}.{function.__name__}: the docstring does not explain {name!r}')
        is_path = paths is not None and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        default = (paths or {}).get(name, parameter.default) if is_path else parameter.default
        kind = 'path' if is_path else kind_of(parameter.annotation)
        rows.append(Row(name, kind, shown(default), meaning[name]))
    return rows


def entries(doc: str) -> dict[str, str]:
    """What the sections Args and Attributes of a docstring say of each name, each on one line."""
    found: dict[str, str] = {}
    inside, names = False, list[str]()
    for line in inspect.cleandoc(doc).splitlines():
        if line[:1].strip():
            inside = line.removesuffix(':') in SECTIONS
        elif inside and (begun := re.match(r' {2,4}([*\w]+(?:, \w+)*): (.*)', line)):
            names = begun[1].replace('*', '').split(', ')
            found |= dict.fromkeys(names, begun[2])
        elif inside and line.strip():
            found |= {name: f'{found[name]} {line.strip()}' for name in names}
    return {name: text.removesuffix('.') for name, text in found.items()}


def summary(function: Any) -> str:
    """The first paragraph of a docstring."""
    return ' '.join((inspect.getdoc(function) or '').partition('\n\n')[0].split())


def source(function: Any) -> str:
    """The first paper that a docstring cites between its first line and its sections, as 'Source: PAPER, section 2.'"""
    prose = re.split(r'(?:^|\n)\w+:\n', (inspect.getdoc(function) or '').partition('\n\n')[2])[0]
    found = CITED.search(' '.join(prose.split()))
    return f'Source: {found[0]}.' if found else ''


def reads_and_gives(call: Any) -> str:
    """What the docstring of a model's `__call__` says of its inputs and outputs, in one line."""
    text = ' '.join((inspect.getdoc(call) or '').partition('Raises:')[0].split())
    reads, _, gives = text.partition('Args:')[2].partition('Returns:')
    return f'Reads {reads.strip().removesuffix(".")}. Gives {gives.strip().removesuffix(".")}.'
