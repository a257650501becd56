"""Writes JSON files: numbers that are not finite become null, and a file is written completely or not at all."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_value(tree: Any) -> Any:
    """Converts a tree to JSON values: a number that is not finite becomes None, a callable becomes 'module:name'."""
    if isinstance(tree, Mapping):
        return {str(key): json_value(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [json_value(value) for value in tree]
    if callable(tree):
        return f'{tree.__module__}:{tree.__qualname__}'
    if isinstance(tree, np.generic):
        tree = tree.item()
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file completely or not at all: the file appears under its name only when it is complete."""
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with part.open('w') as file:
            json.dump(json_value(value), file, indent=1)
            file.write('\n')
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Flattens nested dictionaries: maps the path of each leaf, its keys joined with '/', to the leaf."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f'{prefix}{key}'
        leaves |= flat(value, f'{name}/') if isinstance(value, Mapping) else {name: value}
    return leaves
