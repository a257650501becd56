"""JSON values and files: non-finite numbers become null, and a file is written whole or not at all."""

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def json_value(tree: Any) -> Any:
    """A JSON value: None in place of numbers that are not finite, a callable's name in place of it."""
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
    """Writes a file whole or not at all."""
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
    """Leaves by their path, keys joined with '/'."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f'{prefix}{key}'
        leaves |= flat(value, f'{name}/') if isinstance(value, Mapping) else {name: value}
    return leaves
