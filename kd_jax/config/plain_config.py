"""Turns what a config file returns into plain dictionaries, lists and leaves, none of which is shared."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from kd_jax.config.errors import UserError
from kd_jax.config.json_files import INTEGERS

DEEPEST = 64  # levels; a dictionary that holds itself has no end


def plain_config(value: Any, where: str, depth: int = 0) -> Any:
    """Rebuilds a config, so that a change of one of its places changes no other place.

    A config file often uses one dictionary in several runs. NumPy numbers become Python numbers, and paths become
    strings, so that the config can be written to a file.

    Args:
      value: the config, or a part of it.
      where: its place, for messages.
      depth: the number of levels above it.
    Raises:
      UserError: a key is not a string, a leaf is neither a number, a text, None nor a callable that has
        a name, an integer has more
        than 64 bits, a text has half of a surrogate pair, or a dictionary holds itself.
    """
    if depth > DEEPEST:
        raise UserError(f'{where}: there are more than {DEEPEST} levels; does a dictionary or a list hold itself?')
    if isinstance(value, Mapping | ConfigDict):
        return {
            _checked_key(key, where): plain_config(part, f'{where}.{key}', depth + 1) for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        parts = [plain_config(part, f'{where}[{place}]', depth + 1) for place, part in enumerate(value)]
        return tuple(parts) if isinstance(value, tuple) else parts
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, int) and abs(value) >= INTEGERS:
        raise UserError(f'{where} is an integer beyond 64 bits, which no result file can hold; write a float.')
    if isinstance(value, str):
        _check_text(value, f'{where}:')
    if callable(value) and not hasattr(value, '__qualname__'):
        raise UserError(
            f'{where} is a {type(value).__name__}, which has no name that a result file could state; define a function '
            'of your own, and give its options beside it in the config.'
        )
    if value is None or isinstance(value, bool | int | float | str) or callable(value):
        return value
    shown = f'{value!r}'.splitlines()[0]
    raise UserError(
        f'{where} is {shown[:80]}, a {type(value).__name__}; a config holds numbers, texts, True, False, None, '
        'functions, and lists, tuples and dictionaries of them.'
    )


def _checked_key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise UserError(f'{where}: the key {key!r} is not a string; write {str(key)!r}.')
    _check_text(key, f'{where}: the key')
    return key


def _check_text(text: str, where: str) -> None:
    """Refuses half of a surrogate pair; Python makes one of each byte of an argument that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f'{where} {text[:80]!r} is not Unicode text, so no file can hold it.') from None
