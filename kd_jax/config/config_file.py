"""Loads config files, with a variant argument and command-line overrides.

A config file defines `get_config(variant) -> ConfigDict`, which says what is run. It may also define
`get_report(variant) -> dict`, which says how the results are shown, and `get_search(variant) -> dict`, which says what
is searched. `VARIANTS` lists the variants of the file. An override changes a leaf of the config or adds a leaf to an
existing dictionary. The names of options are checked later, by the code that reads them.
"""

import ast
import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.renamed import new_module


def load_config(file_and_variant: str, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Loads a study's config and the description of its report, as plain dictionaries.

    Args:
      file_and_variant: for example 'configs/hinton_mnist.py' or 'configs/hinton_mnist.py:paper'.
      overrides: for example 'runs.student.terms.soft.t=4.0'. A value that is not a Python literal is read as a string.
    Raises:
      UserError: the file or the variant does not exist, the file has no `get_config`, its code fails, or an override
        names a dictionary that does not exist.
    """
    name, _, variant = file_and_variant.partition(':')
    module = _module(name)
    known = config_variants(name)
    if variant not in known:
        raise UserError(f'--config={name} has no variant {variant!r}. {suggest(variant, filter(None, known))}')
    try:
        config = module.get_config(variant)
        report = module.get_report(variant) if hasattr(module, 'get_report') else {}
    except UserError as error:
        raise UserError(f'--config={file_and_variant}: {error}') from error
    except Exception as error:
        what = f'{type(error).__name__}: {error}.{_hint(error)}'
        raise UserError(f'--config={file_and_variant}: get_config failed: {what}') from error
    if not isinstance(config, Mapping | ConfigDict):
        raise UserError(f'--config={file_and_variant}: get_config must return a ConfigDict, not {config!r}.')
    plain = ConfigDict(config).to_dict()
    for text in overrides:
        apply_override(plain, text)
    return plain, report


def config_variants(file: str | pathlib.Path) -> tuple[str, ...]:
    """The variants of a config file: its `VARIANTS`, or only the default variant, ''."""
    return getattr(_module(file), 'VARIANTS', ('',))


def _module(file: str | pathlib.Path) -> Any:
    path = pathlib.Path(file)
    if path.suffix != '.py' or not path.is_file():
        near = suggest(path.name, [p.name for p in path.parent.glob('*.py')] if path.parent.is_dir() else [])
        raise UserError(f'--config={file}: there is no such config file. {near}')
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f'--config={file} cannot be loaded: {type(error).__name__}: {error}.{_hint(error)}') from error
    if not hasattr(module, 'get_config'):
        raise UserError(f'--config={file} defines no get_config(variant).')
    return module


def _hint(error: Exception) -> str:
    """The new name of the module that an import did not find, as a sentence with a space before it; '' if none."""
    return f' {new}' if isinstance(error, ImportError) and (new := new_module(str(error))) else ''


def load_search(file_and_variant: str) -> dict[str, Any]:
    """Loads the description of a hyperparameter search, which the file's `get_search(variant)` returns.

    Raises:
      UserError: the file defines no `get_search`, or `get_search` fails.
    """
    name, _, variant = file_and_variant.partition(':')
    module = _module(name)
    if not hasattr(module, 'get_search'):
        raise UserError(f'--config={name} defines no get_search(variant).')
    try:
        return dict(module.get_search(variant))
    except Exception as error:
        raise UserError(f'--config={file_and_variant}: get_search failed: {type(error).__name__}: {error}.') from error


def apply_override(config: dict[str, Any], text: str) -> None:
    """Changes the config in place as an override such as 'path.to.leaf=value' says.

    Raises:
      UserError: the text has no '=', or a dictionary on the path does not exist.
    """
    path, equals, value = text.partition('=')
    if not equals:
        raise UserError(f'--config.{text} has no value: write --config.{text}=VALUE.')
    try:
        set_leaf(config, path, ast.literal_eval(value))
    except (ValueError, SyntaxError):
        set_leaf(config, path, value)


def set_leaf(config: dict[str, Any], path: str, value: Any) -> None:
    """Sets the leaf at a path such as 'path.to.leaf', in place.

    Raises:
      UserError: a dictionary on the path does not exist.
    """
    *way, leaf = path.split('.')
    node: Any = config
    for depth, key in enumerate(way):
        if not isinstance(node, Mapping) or not isinstance(node.get(key), Mapping):
            place = '.'.join(['config', *way[:depth]])
            raise UserError(f"--config.{path}: there is no '{key}' in {place}. {suggest(key, node)}")
        node = node[key]
    node[leaf] = value
