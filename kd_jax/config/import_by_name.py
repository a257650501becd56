"""Finds the object that a config names: a public function of one of our modules, or 'package.module:attribute'."""

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.renamed import new_module


def find_by_name(name: str | Callable[..., Any], module: ModuleType, kind: str, where: str) -> Callable[..., Any]:
    """The public callable `name` of `module`, or of the user's own module when the name is 'package.module:attribute'.

    Args:
      name: as the config has it; a callable is returned as it is.
      module: where our own objects of this kind live (`kd_jax.losses`, say).
      kind: what is looked for ('loss', 'model'), for the message.
      where: the place in the config, for the message.
    Raises:
      UserError: there is no such object, or it cannot be called.
    """
    if callable(name):
        return name
    known = public_names(module)
    if isinstance(name, str) and ':' in name:
        path, _, attribute = name.partition(':')
        try:
            found = getattr(importlib.import_module(path), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            hint = f' {new}' if (new := new_module(str(error))) else ''
            raise UserError(f'{where}: {kind} {name!r} cannot be imported ({error}).{hint}') from error
        if not callable(found):
            raise UserError(f'{where}: {kind} {name!r} is {found!r}, which cannot be called.')
        return found
    if not isinstance(name, str) or name not in known:
        raise UserError(f'{where}: there is no {kind} {name!r}. {suggest(name, known)}')
    return known[name]


def public_names(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The callables that a module offers under `__all__`."""
    return {name: getattr(module, name) for name in module.__all__}


def parameters_of(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, inspect.Parameter]]:
    """Names of the positional parameters (paths, in a config) and the keyword-only ones (hyperparameters)."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    positional = tuple(p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return positional, {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
