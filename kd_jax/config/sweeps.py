"""Sweeps in a config file: turn the config of one run and lists of values into many named runs.

grid(run, {'terms.soft.t': (1.0, 2.0, 4.0), 'optimizer.learning_rate': (1e-3, 1e-2)}, 't{t}_lr{learning_rate}')

makes six runs: 't1_lr0_001' and so on. A key may be a tuple of paths, whose values change together, as with `zip`. Runs
that differ only in numbers are trained as one program (see `studies/run_groups.py`).
"""

import itertools
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.json_files import flat
from kd_jax.config.plain_config import plain_config

Runs = dict[str, dict[str, Any]]
Choices = Mapping[Any, Sequence[Any]]


def grid(run: Mapping[str, Any], choices: Choices, name: str) -> Runs:
    """Makes a run for every combination of values; the values of the last path change fastest.

    Args:
      run: the config that all runs start from; it is not changed.
      choices: maps the path of a leaf, such as 'terms.soft.t', to its values. A tuple of paths is mapped to tuples of
        values, which change together.
      name: format string for the names of the runs. A field is the last key of a path, as in '{t}'. A field may also be
        the position of the path among all paths, as in '{0}', which is needed where two paths end in the same key.
        Indexing works as usual, as in '{hidden[0]}'. Dots in a name become underscores.
    Raises:
      UserError: the run has no such leaf, a path has no list of values, a tuple of values has another length than its
        paths, a field of the name is unknown, or two runs get the same name.
    """
    where = f'grid {name!r}'
    run = plain_config(run, where)
    axes = []
    for key, values in choices.items():
        paths = key if isinstance(key, tuple) else (key,)
        for path in paths:
            _check_leaf(run, path, where)
        rows = _rows(values, isinstance(key, tuple), f'{where}: {", ".join(paths)}')
        for row in rows:
            if len(row) != len(paths):
                raise UserError(
                    f'{where}: {row} has length {len(row)}, but there are {len(paths)} paths, {", ".join(paths)}.'
                )
        axes.append([tuple(zip(paths, row, strict=True)) for row in rows])
    return _named(run, [list(itertools.chain(*point)) for point in itertools.product(*axes)], name, where)


def chain(*sweeps: Mapping[str, Any]) -> Runs:
    """Joins the runs of several sweeps.

    Raises:
      UserError: two sweeps have a run of the same name.
    """
    runs: Runs = {}
    for sweep in sweeps:
        for name in sweep:
            if name in runs:
                raise UserError(f'chain: two sweeps have a run {name!r}; give one of them another name.')
        runs.update(sweep)
    return runs


def _check_leaf(run: Mapping[str, Any], path: str, where: str) -> None:
    node: Any = run
    for key in path.split('.'):
        if not isinstance(node, Mapping) or key not in node:
            leaves = [leaf.replace('/', '.') for leaf in flat(run)]
            raise UserError(f'{where}: the run has no {path!r}. {suggest(path, leaves)}')
        node = node[key]


def _rows(values: Any, several: bool, where: str) -> list[tuple[Any, ...]]:
    """The values of an axis, each as a tuple; they may be an array. With `several`, each is that of several paths."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise UserError(f'{where} takes the values {values!r}, but they must be a list or a tuple.')
    plain = plain_config(values.tolist() if isinstance(values, np.ndarray) else list(values), where)
    if not plain:
        raise UserError(f'{where} has no values.')
    return [tuple(value) if several and isinstance(value, list | tuple) else (value,) for value in plain]


def _named(run: Mapping[str, Any], points: Sequence[Sequence[tuple[str, Any]]], name: str, where: str) -> Runs:
    runs: Runs = {}
    for point in points:
        ends = [path.rpartition('.')[2] for path, _ in point]
        fields = {end: value for end, (_, value) in zip(ends, point, strict=True) if ends.count(end) == 1}
        try:
            own = _Name().vformat(name, [value for _, value in point], fields)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            known = [*fields, *map(str, range(len(point)))]
            missing = str(error.args[0]) if isinstance(error, KeyError) else str(error)
            raise UserError(f'{where}: the name cannot be filled in ({missing}). {suggest(missing, known)}') from error
        if own in runs:
            raise UserError(f'{where} gives two runs the name {own!r}; tell them apart with {{{"}, {".join(ends)}}}.')
        runs[own] = _with(run, point)
    return runs


class _Name(string.Formatter):
    """Formats numbers briefly (2.0 as '2') and replaces dots, which the keys of a config cannot contain."""

    def format_field(self, value: Any, spec: str) -> Any:
        return super().format_field(value, spec or ('g' if isinstance(value, float) else '')).replace('.', '_')


def _with(run: Mapping[str, Any], point: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    changed = plain_config(run, '')  # shares nothing with the other runs
    for path, value in point:
        *way, leaf = path.split('.')
        node = changed
        for key in way:
            node = node[key]
        node[leaf] = plain_config(value, '')
    return changed
