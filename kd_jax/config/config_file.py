"""Loads config files, with a variant argument and command-line overrides.

A config file defines `get_config(variant) -> ConfigDict`, which says what is run. It may also define
`get_report(variant) -> dict`, which says how the results are shown, and `get_search(variant) -> dict`, which says what
is searched. `VARIANTS` lists the variants of the file; the functions of a file without them may leave out the argument.
An override changes a leaf of the config or adds a leaf to an existing dictionary. The names of options are checked
later, by the code that reads them.
"""

import ast
import importlib.util
import inspect
import pathlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.plain_config import plain_config
from kd_jax.config.renamed import new_module


def load_config(file_and_variant: str, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Loads a study's config and the description of its report, as plain dictionaries.

    No two places of the config share a dictionary or a list, even where the config file uses one twice, so an override
    changes only the place that it names.

    Args:
      file_and_variant: for example 'configs/hinton_mnist.py' or 'configs/hinton_mnist.py:paper'.
      overrides: for example 'runs.student.terms.soft.t=4.0'. A value that is not a Python literal is read as a string.
    Raises:
      UserError: the file or the variant does not exist, the file has no `get_config`, its code fails, or an override
        names a dictionary that does not exist, or the config is not plain (see `plain_config`).
    """
    name, variant = split_variant(file_and_variant)
    module = _module(name)
    known = config_variants(name)
    if variant not in known:
        raise UserError(f'--config={name} has no variant {variant!r}. {suggest(variant, filter(None, known))}')
    plain = _returned(module, 'get_config', file_and_variant)
    report = _returned(module, 'get_report', file_and_variant) if hasattr(module, 'get_report') else {}
    for text in overrides:
        apply_override(plain, text)
    return plain, report


def split_variant(file_and_variant: str) -> tuple[str, str]:
    """Splits 'FILE.py:VARIANT' into the file and the variant; the file may be in a folder whose name has a colon."""
    file, _, variant = file_and_variant.rpartition(':')
    return (file, variant) if file.endswith('.py') else (file_and_variant, '')


def _returned(module: Any, function: str, file_and_variant: str) -> dict[str, Any]:
    """What a function of a config file returns for a variant, as plain values."""
    name, variant = split_variant(file_and_variant)
    try:
        make = getattr(module, function)
        made = make(variant) if variant or inspect.signature(make).parameters else make()
        if not isinstance(made, Mapping | ConfigDict):
            raise UserError(f'{function} must return a dictionary, not {made!r}.')
        plain = plain_config(made, function.removeprefix('get_'))
        if isinstance(plain.get('runs'), dict):
            plain['runs'] = {name: plain['runs'][name] for name in _as_written(made['runs'])}
        return plain
    except UserError as error:
        raise UserError(f'--config={file_and_variant}: {error}') from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too
        raise UserError(f'--config={file_and_variant}: {function} failed: {_told(error, name)}') from error


def _as_written(runs: Mapping[str, Any] | ConfigDict) -> list[str]:
    """The names of the runs in the order in which the config file adds them; a ConfigDict gives them sorted."""
    return list(vars(runs).get('_fields', runs) if isinstance(runs, ConfigDict) else runs)


def config_variants(file: str | pathlib.Path) -> tuple[str, ...]:
    """The variants of a config file: its `VARIANTS`, or only the default variant, ''.

    Raises:
      UserError: the file cannot be loaded, or `VARIANTS` is not a tuple of strings.
    """
    known = getattr(_module(file), 'VARIANTS', ('',))
    if not isinstance(known, list | tuple) or not all(isinstance(one, str) for one in known):
        raise UserError(
            f"--config={file}: VARIANTS is {known!r}, but it must be a tuple of names, such as ('', 'paper')."
        )
    return tuple(known)


def _module(file: str | pathlib.Path) -> Any:
    path = pathlib.Path(file)
    if path.suffix != '.py' or not path.is_file():
        there = path.parent.glob('*.py') if path.parent.is_dir() else ()
        near = suggest(path.name, [other.name for other in there if other.stem != '__init__'])
        raise UserError(f'--config={file}: there is no such config file. {near}')
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up by name. The entry does not stay: a library imported later may have this name.
    known = sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too
        raise UserError(f'--config={file} cannot be loaded: {_told(error, file)}') from error
    finally:
        if known is module:
            sys.modules.pop(path.stem, None)
    if not hasattr(module, 'get_config'):
        raise UserError(f'--config={file} defines no get_config(variant).')
    return module


def _told(error: BaseException, file: str | pathlib.Path) -> str:
    """An error of a config file: its type, its message, the line, and the new name of a module that was not found."""
    lines = {frame.filename: frame.lineno for frame in traceback.extract_tb(error.__traceback__)}
    place = str(pathlib.Path(file))
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == place else lines.get(place)
    at = f' ({place}, line {line})' if line else ''
    new = new_module(str(error)) if isinstance(error, ImportError) else ''
    message = error.msg if isinstance(error, SyntaxError) else first_line(error)
    said = '' if message == type(error).__name__ else f': {message.rstrip(".")}'
    return f'{type(error).__name__}{said}{at}.{f" {new}" if new else ""}'


def load_search(file_and_variant: str) -> dict[str, Any]:
    """Loads the description of a hyperparameter search, which the file's `get_search(variant)` returns.

    Raises:
      UserError: the file defines no `get_search`, or `get_search` fails.
    """
    name, _ = split_variant(file_and_variant)
    module = _module(name)
    if not hasattr(module, 'get_search'):
        raise UserError(f'--config={name} defines no get_search(variant).')
    return _returned(module, 'get_search', file_and_variant)


def apply_override(config: dict[str, Any], text: str) -> None:
    """Changes the config in place as an override such as 'path.to.leaf=value' says.

    Raises:
      UserError: the text has no '=', a dictionary on the path does not exist, or the value is not plain (see
        `plain_config`).
    """
    path, equals, value = text.partition('=')
    if not equals:
        shown = text if text.isprintable() else repr(text)
        raise UserError(f'--config.{shown} has no value: write --config.{shown}=VALUE.')
    try:
        read = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        read = value
    set_leaf(config, path, plain_config(read, f'--config.{path}'))


def set_leaf(config: dict[str, Any], path: str, value: Any) -> None:
    """Sets the leaf at a path such as 'path.to.leaf', in place.

    Raises:
      UserError: the path has a part that is empty or cannot be printed, or names a dictionary that does not exist.
    """
    *way, leaf = path.split('.')
    if not path.isprintable():
        raise UserError(f'--config.{path!r}: a part of the path cannot be printed.')
    if not (leaf and all(way)):
        raise UserError(f"--config.{path}: a part of the path is empty; a path looks like 'runs.student.epochs'.")
    node: Any = config
    for depth, key in enumerate(way):
        place = '.'.join(['config', *way[:depth]])
        if key not in node:
            raise UserError(f"--config.{path}: there is no '{key}' in {place}. {suggest(key, node)}")
        if not isinstance(node[key], Mapping):
            inner = '.'.join(way[: depth + 1])
            raise UserError(
                f'--config.{path}: {place}.{key} is {node[key]!r}, which has no parts with names; write the whole '
                f'value, --config.{inner}=VALUE.'
            )
        node = node[key]
    node[leaf] = value
