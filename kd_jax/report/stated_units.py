"""The unit of a number in a result, and which way is better, as the result states them."""

from collections.abc import Mapping
from typing import Any

SPLITS = ('train', 'valid', 'test')
FIXED = {'seconds': 'seconds', 'steps': 'count', 'step': 'count', 'parameters': 'count', 'examples': 'count'}

SET = ('config', 'examples', 'parameters', 'steps')  # what no seed changes


# Results that were written before results stated units: all of them are of classifiers.
CLASSIFICATION: dict[str, dict[str, str | None]] = {
    'count': {'unit': 'count', 'better': None},
    'errors': {'unit': 'count', 'better': 'lower'},
    'accuracy': {'unit': 'fraction', 'better': 'higher'},
    'nll': {'unit': 'nats', 'better': 'lower'},
    'ece': {'unit': 'number', 'better': 'lower'},
    'agreement': {'unit': 'fraction', 'better': 'higher'},
    'kl': {'unit': 'nats', 'better': 'lower'},
}


ANALYSES = {
    'accuracy': 'fraction', 'combined_accuracy': 'fraction', 'delta_errors': 'count', 'errors': 'count',
    'examples': 'count', 'generalist_accuracy': 'fraction', 'offset': 'nats',
}  # fmt: skip


def with_stated_units(result: dict[str, Any]) -> dict[str, Any]:
    """The result, with the statements of an older classifier if it has none."""
    if 'metrics' in result:
        return result
    last = result.get('last') or {}
    found = [split for split in last.values() if isinstance(split, dict)]
    names = dict.fromkeys(name for split in found for name in split)
    given = {name: {metric for split in found for metric in split.get(name) or ()} for name in names}
    return {
        **result,
        'metrics': {
            name: {metric: stated for metric, stated in CLASSIFICATION.items() if metric in given[name]}
            for name in names
        },
        'best_by': dict.fromkeys(names, 'errors'),
        'analysis_units': dict.fromkeys(result.get('analyses') or {}, ANALYSES),
    }


def stated_at(result: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """What a result states about the number at a value path: its 'unit', and for a metric which way is 'better'.

    A number of the config and a number of an analysis that states no unit have the unit 'number'.

    Args:
      result: a result; of it only `metrics` and `analysis_units` are read.
      path: a path in the result, such as 'last.test.student.errors' or 'history.3.test.student.errors', or in a row of
        its history.
    Returns:
      None for a metric or an analysis that the result does not have, such as training metrics of the best evaluation.
    """
    keys = path.split('.')
    if keys[:2] == ['best', 'train']:
        return None
    if keys[0] in ('last', 'best'):
        keys = keys[1:] or keys
    elif keys[0] == 'history':
        keys = keys[2:] or keys
    if keys[0] in SPLITS and len(keys) > 2:
        return (result.get('metrics') or {}).get(keys[1], {}).get(keys[2])
    if keys[0] == 'analyses' and len(keys) > 1:
        units = (result.get('analysis_units') or {}).get(keys[1])
        leaf = next(key for key in reversed(keys) if not key.isdecimal())
        return None if units is None else {'unit': units.get(leaf, 'number')}
    return {'unit': FIXED.get(keys[-1] if keys[0] == 'samples' else keys[0], 'number')}


def is_set(path: str) -> bool:
    """Whether the config sets the number at a value path, so that it is the same for every seed."""
    return path.partition('.')[0] in SET


def stated_in(results: Mapping[str, Mapping[int, Mapping[str, Any]]], *places: tuple[str, str]) -> Mapping[str, Any]:
    """The first statement found about the numbers at several (run, path); the unit 'number' if there is none."""
    for run, path in places:
        for result in results.get(run, {}).values():
            if stated := stated_at(result, path):
                return stated
    return {'unit': 'number'}
