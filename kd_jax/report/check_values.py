"""Checks, before training, that the runs of a study will measure what its report section shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.file_schemas import HistoryRow, ResultFile
from kd_jax.config.name_globs import matching
from kd_jax.report.claim_verdicts import CONDITION
from kd_jax.report.result_files import run_globs, split_reference
from kd_jax.report.stated_units import SPLITS, stated_at
from kd_jax.report.tables import stated_of_column

Stated = Mapping[str, Mapping[str, Any]]
Places = list[tuple[str, str]]  # (run, value path)
EVALUATED = ('last', 'best')  # rows of a result that hold metrics of each split
OF_RESULT, OF_ROW = ({*file.__annotations__, *SPLITS} for file in (ResultFile, HistoryRow))


def check_values(study: dict[str, Any], stated: Stated) -> None:
    """Checks the value paths of metrics and analyses, and that the paper's fractions are fractions.

    Args:
      study: content of study.json, checked by `check_report`.
      stated: run -> what its result will state: `metrics`, `analysis_units` and `examples` of each split. Numbers of
        other runs are not checked.
    Raises:
      UserError: the first number that no run measures, with a suggestion; a fraction above 1; or a table that compares
        its rows in a column without a better way.
    """
    report = study.get('report') or {}
    stated = {**stated, **_of_chosen(report, stated)}
    for where, places in _shown(report, stated):
        known = places and all(run in stated for run, _ in places)
        missing = [_missing(stated[run], path) for run, path in places] if known else ['']
        if all(missing):
            run, path = places[0]
            raise UserError(f"report: {where}: run '{run}' measures no {path!r}. {missing[0]}")
    for name, table in (report.get('tables') or {}).items():
        _check_compared(name, table, stated)
        for key, row in table['rows'].items():
            for heading, paper in (row.get('paper') or {}).items():
                path = (row.get('columns') or {}).get(heading) or table['columns'][heading]
                is_fraction = (stated_at(stated.get(row.get('run', key), {}), path) or {}).get('unit') == 'fraction'
                if is_fraction and paper is not None and abs(paper) > 1:
                    raise UserError(
                        f"report: table {name!r}, row {key!r}: the paper's {heading} must be a fraction: "
                        f'{paper / 100}, not {paper}.'
                    )


def _check_compared(name: str, table: Mapping[str, Any], stated: Stated) -> None:
    """Checks that rows are compared in a column in which one number is better than another."""
    if 'compare' not in table or any(row.get('run', key) not in stated for key, row in table['rows'].items()):
        return
    known = {run: {0: own} for run, own in stated.items()}
    judging = [heading for heading in table['columns'] if stated_of_column(table, heading, known).get('better')]
    if table['compare'] not in judging:
        mend = (
            f'compare in one of the columns that have a better way: {", ".join(map(repr, judging))}.'
            if judging
            else "leave 'compare' out."
        )
        raise UserError(
            f"report: table {name!r}, 'compare' is {table['compare']!r}, but no number of this column is better than "
            f'another; {mend}'
        )


def _of_chosen(report: Mapping[str, Any], stated: Stated) -> dict[str, Mapping[str, Any]]:
    """What each chosen run states, as the first of its candidates does."""
    runs = {name: _runs(entry, stated) for name, entry in (report.get('chosen') or {}).items()}
    return {name: stated[found[0]] for name, found in runs.items() if found}


def _shown(report: Mapping[str, Any], stated: Stated) -> Iterator[tuple[str, Places]]:
    """Each number that the report shows: where, and pairs of a run and a path, of which at least one must exist."""
    for name, claim in (report.get('claims') or {}).items():
        for key in ('value', 'low', 'high'):
            if key in claim:
                yield f'claim {name!r}, {key!r}', [split_reference(claim[key])]
        for key in CONDITION if 'provided' in claim else ():
            yield f"claim {name!r}, 'provided', {key!r}", [split_reference(claim['provided'][key])]
        for label, value in (claim.get('evidence') or {}).items():
            yield f"claim {name!r}, 'evidence', {label!r}", [split_reference(value)]
        if 'y' in claim:
            yield f"claim {name!r}, 'y'", [(run, claim['y']) for run in _runs(claim, stated)]
    for name, choice in (report.get('chosen') or {}).items():
        yield f'chosen {name!r}', [(name, choice['by'])]
    for name, figure in (report.get('figures') or {}).items():
        where = f'figure {name!r}'
        for label, value in {**(figure.get('values') or {}), **(figure.get('reference') or {})}.items():
            yield f'{where}, {label!r}', [split_reference(value)]
        for key in ('y', 'beside') if 'y' in figure else ():
            if key in figure:
                yield f'{where}, {key!r}', [(run, figure[key]) for run in _runs(figure, stated)]
    for name, table in (report.get('tables') or {}).items():
        shared: dict[str, Places] = {heading: [] for heading in table['columns']}
        for key, row in table['rows'].items():
            own = row.get('columns') or {}
            for heading, path in {**table['columns'], **own}.items():
                if heading not in own:
                    shared[heading].append((row.get('run', key), path))
                elif path:
                    yield f'table {name!r}, row {key!r}, {heading!r}', [(row.get('run', key), path)]
        yield from ((f'table {name!r}, column {heading!r}', places) for heading, places in shared.items())


def _runs(entry: Mapping[str, Any], stated: Stated) -> list[str]:
    return [run for pattern in run_globs(entry['runs']) for run in matching(pattern, stated)]


def _missing(result: Mapping[str, Any], path: str) -> str:
    """Why a result will not have the number at a path, or what was meant; '' if it will have it."""
    keys, splits = path.split('.'), result['examples']
    if keys[0] not in OF_RESULT | OF_ROW:
        return suggest(keys[0], OF_RESULT)
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
    return '' if stated_at(result, path) else suggest(path, _paths(result, path))


def _paths(result: Mapping[str, Any], like: str) -> list[str]:
    """The paths of metrics and analyses that a result has, on the splits that a path of metrics names."""
    if like.startswith('analyses.'):
        return [f'analyses.{name}' for name in result['analysis_units']]
    prefix = like.rsplit('.', 2)[0]
    return [f'{prefix}.{name}.{metric}' for name, metrics in result['metrics'].items() for metric in metrics]
