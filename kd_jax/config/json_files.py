"""Reads and writes JSON files: a file is bounded in size, depth and numbers, and written completely or not at all."""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NoReturn

from kd_jax.config.ordinary_files import write_text

JSON_BYTES = 2**26  # matrices of 1000 x 1000 classes take some 30 MB
DEPTH = 100
INTEGERS = 2**64


def json_value(tree: Any) -> Any:
    """Converts a tree to JSON values.

    An array becomes lists, a number that is not finite becomes None, and a callable becomes 'module:name'.
    """
    if hasattr(tree, 'tolist'):  # arrays of NumPy and JAX, and their numbers
        tree = tree.tolist()
    if isinstance(tree, Mapping):
        return {str(key): json_value(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [json_value(value) for value in tree]
    if callable(tree):
        return f'{tree.__module__}:{tree.__qualname__}'
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def parse_json(text: str) -> Any:
    """Parses JSON as this package writes it.

    Raises:
      ValueError: it is not JSON, is nested more deeply than `DEPTH`, or has NaN, an integer beyond 64 bits or half a
        surrogate pair, which cannot be printed.
    """
    deep = ValueError(f'nested more than {DEPTH} deep')
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except RecursionError:
        raise deep from None
    if '\\ud' in text.lower():
        json.dumps(value, ensure_ascii=False).encode()
    level = [value]
    for _ in range(DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return value
    raise deep


def _integer(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) >= INTEGERS:
        raise ValueError(f'an integer of {len(text.lstrip("-"))} digits')
    return number


def _float(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f'the number {text[:20]} is too large')
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(f'{text} is not JSON')


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file completely or not at all: the file appears under its name only when it is complete."""
    write_text(path, json.dumps(json_value(value), indent=1) + '\n')


def flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Flattens nested dictionaries: maps the path of each leaf, its keys joined with '/', to the leaf."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f'{prefix}{key}'
        leaves |= flat(value, f'{name}/') if isinstance(value, Mapping) else {name: value}
    return leaves
