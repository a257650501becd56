"""Loads config files: ml_collections files with a variant argument and command-line overrides of any leaf.

A file defines `get_config(variant) -> ConfigDict` (what is run) and may define `get_report(variant) -> dict` (how it is
shown). An override may change any leaf and may add one to an existing dictionary. Names are checked later, by the code
that reads them.
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
    """The config and the report's description, as plain dictionaries.

    Args:
      file_and_variant: 'configs/hinton_mnist.py' or 'configs/hinton_mnist.py:paper'.
      overrides: 'runs.student.terms.soft.t=4.0', each value a Python literal, or a string as it stands.
    Raises:
      UserError: no such file or variant, a file without get_config, or an override of nothing.
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
        raise UserError(f'--config={file_and_variant}: get_config failed: {type(error).__name__}: {error}.') from error
    if not isinstance(config, Mapping | ConfigDict):
        raise UserError(f'--config={file_and_variant}: get_config must return a ConfigDict, not {config!r}.')
    plain = ConfigDict(config).to_dict()
    for text in overrides:
        apply_override(plain, text)
    return plain, report


def config_variants(file: str | pathlib.Path) -> tuple[str, ...]:
    """The variants that a config file knows: its `VARIANTS`, or the default one alone."""
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
        hint = f' {new}' if isinstance(error, ImportError) and (new := new_module(str(error))) else ''
        raise UserError(f'--config={file} cannot be loaded: {type(error).__name__}: {error}.{hint}') from error
    if not hasattr(module, 'get_config'):
        raise UserError(f'--config={file} defines no get_config(variant).')
    return module


def load_search(file_and_variant: str) -> dict[str, Any]:
    """What the file's `get_search(variant)` says is to be searched.

    Raises:
      UserError: the file has none, or it fails.
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
    """Sets one leaf, 'path.to.leaf=value', in place.

    Raises:
      UserError: no '=', or a dictionary on the way that does not exist.
    """
    path, equals, value = text.partition('=')
    if not equals:
        raise UserError(f'--config.{text} has no value: write --config.{text}=VALUE.')
    try:
        set_leaf(config, path, ast.literal_eval(value))
    except (ValueError, SyntaxError):
        set_leaf(config, path, value)


def set_leaf(config: dict[str, Any], path: str, value: Any) -> None:
    """Sets the leaf at 'path.to.leaf', in place.

    Raises:
      UserError: a dictionary on the way that does not exist.
    """
    *way, leaf = path.split('.')
    node: Any = config
    for depth, key in enumerate(way):
        if not isinstance(node, Mapping) or not isinstance(node.get(key), Mapping):
            place = '.'.join(['config', *way[:depth]])
            raise UserError(f"--config.{path}: there is no '{key}' in {place}. {suggest(key, node)}")
        node = node[key]
    node[leaf] = value
