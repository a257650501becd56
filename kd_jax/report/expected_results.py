"""What is known of the result of a run before the run is trained, and which values the result will not have."""

from collections.abc import Mapping, Sequence
from typing import Any

from kd_jax.config.errors import suggest
from kd_jax.config.file_schemas import HistoryRow, ResultFile
from kd_jax.config.references import children, parse_result
from kd_jax.report.stated_units import SPLITS, stated_at

EVALUATED = ('last', 'best')  # rows of a result that hold metrics of each split
OF_RESULT, OF_ROW = ({*file.__annotations__, *SPLITS} for file in (ResultFile, HistoryRow))


def why_not_expected(expected: Mapping[str, Any], path: str) -> str:
    """Why a result will not have the value at a path, or what was meant; '' if it will, or if that is not known.

    Args:
      expected: what is known of the result: its `config`, `metrics`, `analysis_units` and `examples` of each split.
      path: keys joined by dots, such as 'last.test.student.errors', also of a row of the history.
    """
    keys, splits = path.split('.'), expected['examples']
    if keys[0] not in OF_RESULT | OF_ROW:
        return suggest(keys[0], OF_RESULT)
    if keys[0] == 'config':
        return _why_not_in(expected['config'], keys[1:])
    if keys[0] in EVALUATED:
        if keys[0] == 'best' and 'valid' not in splits:
            return 'The best epoch is that on validation examples, and the run has none: set data.valid.'
        if len(keys) > 1 and keys[1] not in OF_ROW:
            return suggest(keys[1], list(splits))
        keys = keys[1:]
    elif keys[0] == 'history':
        keys = keys[2:]
    if keys and keys[0] in SPLITS and keys[0] not in splits:
        return f'Its data has no such split. Known: {", ".join(splits)}.'
    return '' if stated_at(expected, path) else suggest(path, _paths(expected, path))


def _why_not_in(config: Any, keys: Sequence[str]) -> str:
    """Why a config has no value at these keys; '' if it has, or if it takes the value from another run's result."""
    for key in keys:
        if config is None or parse_result(config):
            return ''
        known = children(config)
        if key not in known:
            return f'Its config has no {key!r} there. {suggest(key, known)}'
        config = known[key]
    return ''


def _paths(expected: Mapping[str, Any], like: str) -> list[str]:
    """The paths of metrics and analyses that a result has, on the splits that a path of metrics names."""
    if like.startswith('analyses.'):
        return [f'analyses.{name}' for name in expected['analysis_units']]
    prefix = like.rsplit('.', 2)[0]
    return [f'{prefix}.{name}.{metric}' for name, metrics in expected['metrics'].items() for metric in metrics]
