"""Finds the object that a config names: a public name of a module of this project, or 'package.module:attribute'.

A config file is the user's own code. A config that was read from a file of data, such as a result, may come from
anybody: while it is parsed (`names_from_file`), only what the user allows is imported. docs/trust.md tells users.
"""

import contextlib
import contextvars
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.references import FILES, RESULT, RUN, TOKENIZERS, leaves
from kd_jax.config.renamed import new_module

IMPORTED = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*')  # package.module:attribute
REFERENCES = (RUN, RESULT, *FILES, *TOKENIZERS)  # what begins with one of these refers to another run or a file


class NotAllowed(UserError):
    """A file names something to import that the user has not allowed."""


class _FromFile(NamedTuple):
    """The file that a config was read from, the names in it that may be imported, and the others."""

    file: str
    allowed: frozenset[str]
    others: tuple[str, ...]
    remedy: Callable[[tuple[str, ...]], str]


_FILE: contextvars.ContextVar[_FromFile | None] = contextvars.ContextVar('file of the config', default=None)


@contextlib.contextmanager
def names_from_file(file: Any, config: Any, allowed: Any, remedy: Callable[[tuple[str, ...]], str]) -> Iterator[None]:
    """While it is entered, `find_by_name` imports 'package.module:attribute' only if it is among `allowed`.

    Args:
      file: the file that the config was read from, for the message.
      config: the config.
      allowed: the names that the user allows.
      remedy: the names of the config that are not allowed -> how the user allows them; the end of the message.
    """
    allowed = frozenset(allowed)
    others = tuple(name for name in imported_names(config) if name not in allowed)
    token = _FILE.set(_FromFile(str(file), allowed, others, remedy))
    try:
        yield
    finally:
        _FILE.reset(token)


def imported_names(config: Any) -> tuple[str, ...]:
    """The leaves of a config that look like 'package.module:attribute', in the order in which they appear."""
    strings = (leaf for leaf in leaves(config) if isinstance(leaf, str) and IMPORTED.fullmatch(leaf))
    return tuple(dict.fromkeys(name for name in strings if not name.startswith(REFERENCES)))


def _check_may_be_imported(name: str, kind: str, where: str) -> None:
    """Refuses a name that does not have the form of one, or that comes from a file and is not allowed."""
    if not IMPORTED.fullmatch(name):
        raise UserError(f"{where}: {kind} {name!r} does not have the form 'package.module:attribute'.")
    found = _FILE.get()
    if found is not None and name not in found.allowed:
        asked = tuple(dict.fromkeys((name, *found.others)))
        raise NotAllowed(
            f'{found.file} names the {kind} {name!r}. Importing it runs code, and a file that is not your own config '
            f'may come from anybody. {found.remedy(asked)}'
        )


def find_by_name(name: str | Callable[..., Any], module: ModuleType, kind: str, where: str) -> Callable[..., Any]:
    """Finds the callable that a config names; its parameters can be read.

    Args:
      name: a public name of `module`, or 'package.module:attribute' for an object of any other module. A callable is
        returned unchanged.
      module: the module of this project that holds objects of this kind, for example `kd_jax.losses`.
      kind: the kind of object, for example 'loss' or 'model'; for the message.
      where: the place in the config, for the message.
    Raises:
      UserError: the object does not exist, it cannot be called, Python does not know its parameters (a few built-in
        ones), or the name comes from a file and is not allowed.
    """
    found = name if callable(name) else _find(name, module, kind, where)
    try:
        inspect.signature(found)
    except (TypeError, ValueError) as error:
        raise UserError(
            f'{where}: {kind} {name!r} does not tell which parameters it takes; call it in a function of your own.'
        ) from error
    return found


def _find(name: Any, module: ModuleType, kind: str, where: str) -> Callable[..., Any]:
    known = public_names(module)
    if isinstance(name, str) and ':' in name:
        _check_may_be_imported(name, kind, where)
        path, _, attribute = name.partition(':')
        try:
            found = getattr(importlib.import_module(path), attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of the module's own code, too, even SystemExit
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
