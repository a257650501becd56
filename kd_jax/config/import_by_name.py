"""Finds the object that a config names: a public name of a module of this project, or 'package.module:attribute'."""

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.renamed import new_module


def find_by_name(name: str | Callable[..., Any], module: ModuleType, kind: str, where: str) -> Callable[..., Any]:
    """Finds the callable that a config names.

    Args:
      name: a public name of `module`, or 'package.module:attribute' for an object of any other module. A callable is
        returned unchanged.
      module: the module of this project that holds objects of this kind, for example `kd_jax.losses`.
      kind: the kind of object, for example 'loss' or 'model'; for the message.
      where: the place in the config, for the message.
    Raises:
      UserError: the object does not exist, or it cannot be called.
    """
    if callable(name):
        return name
    known = public_names(module)
    if isinstance(name, str) and ':' in name:
        path, _, attribute = name.partition(':')
        try:
            found = getattr(importlib.import_module(path), attribute)
        except Exception as error:  # of the module's own code, too
            what = f'{type(error).__name__}: {error}'.rstrip('.')
            hint = f' {new}' if (new := new_module(str(error))) else ''
            raise UserError(f'{where}: {kind} {name!r} cannot be imported ({what}).{hint}') from error
        if not callable(found):
            raise UserError(f'{where}: {kind} {name!r} is {found!r}, which cannot be called.')
        return found
    if name == '':
        raise UserError(f'{where}: no {kind} is named. {suggest(name, known)}')
    if not isinstance(name, str) or name not in known:
        raise UserError(f'{where}: there is no {kind} {name!r}. {suggest(name, known)}')
    return known[name]


def public_names(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The callables that a module lists in `__all__`, by name."""
    return {name: getattr(module, name) for name in module.__all__}


def parameters_of(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, inspect.Parameter]]:
    """The names of the positional parameters (paths in a config), and the keyword-only parameters (options) by name."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    positional = tuple(p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return positional, {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
