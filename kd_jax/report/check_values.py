"""Checks, before training, that the runs of a study will measure what its report section shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from kd_jax.config.errors import UserError
from kd_jax.config.name_globs import matching
from kd_jax.report.claim_verdicts import CONDITION
from kd_jax.report.expected_results import why_not_expected
from kd_jax.report.result_files import run_globs, split_reference
from kd_jax.report.stated_units import stated_at
from kd_jax.report.tables import stated_of_column

Expected = Mapping[str, Mapping[str, Any]]
Places = list[tuple[str, str]]  # (run, value path)


def check_values(study: dict[str, Any], expected: Expected) -> None:
    """Checks the value paths of metrics, analyses and configs, and that the paper's fractions are fractions.

    Args:
      study: content of study.json, checked by `check_report`.
      expected: run -> what is known of its result, as `why_not_expected` takes it. Numbers of other runs are not
        checked.
    Raises:
      UserError: the first number that no run measures, with a suggestion; a fraction above 1; a table that compares
        its rows in a column without a better way; or a best run asked for by a number of which none is better.
    """
    report = study.get('report') or {}
    expected = {**expected, **_of_chosen(report, expected)}
    for where, places in _shown(report, expected):
        known = places and all(run in expected for run, _ in places)
        missing = [why_not_expected(expected[run], path) for run, path in places] if known else ['']
        if all(missing):
            run, path = places[0]
            raise UserError(f"report: {where}: run '{run}' measures no {path!r}. {missing[0]}")
    for where, places in _judging(report, expected):
        stated = [found for run, path in places if (found := stated_at(expected.get(run, {}), path))]
        if stated and not any(own.get('better') for own in stated):
            raise UserError(
                f'report: {where}: no value of {places[0][1]!r} is better than another, so there is no best one; '
                "name a metric, such as 'last.valid.student.errors'."
            )
    for name, table in (report.get('tables') or {}).items():
        _check_compared(name, table, expected)
        for key, row in table['rows'].items():
            for heading, paper in (row.get('paper') or {}).items():
                path = (row.get('columns') or {}).get(heading) or table['columns'][heading]
                is_fraction = (stated_at(expected.get(row.get('run', key), {}), path) or {}).get('unit') == 'fraction'
                if is_fraction and paper is not None and abs(paper) > 1:
                    raise UserError(
                        f"report: table {name!r}, row {key!r}: the paper's {heading} must be a fraction: "
                        f'{paper / 100}, not {paper}.'
                    )


def _check_compared(name: str, table: Mapping[str, Any], expected: Expected) -> None:
    """Checks that rows are compared in a column in which one number is better than another."""
    if 'compare' not in table or any(row.get('run', key) not in expected for key, row in table['rows'].items()):
        return
    known = {run: {0: own} for run, own in expected.items()}
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


def _of_chosen(report: Mapping[str, Any], expected: Expected) -> dict[str, Mapping[str, Any]]:
    """What each chosen run states, as the first of its candidates does."""
    runs = {name: _runs(entry, expected) for name, entry in (report.get('chosen') or {}).items()}
    return {name: expected[found[0]] for name, found in runs.items() if found}


def _shown(report: Mapping[str, Any], expected: Expected) -> Iterator[tuple[str, Places]]:
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
            for key in ('x', 'y'):
                yield f'claim {name!r}, {key!r}', [(run, claim[key]) for run in _runs(claim, expected)]
    for name, choice in (report.get('chosen') or {}).items():
        yield f'chosen {name!r}', [(name, choice['by'])]
    for name, figure in (report.get('figures') or {}).items():
        where = f'figure {name!r}'
        for label, value in {**(figure.get('values') or {}), **(figure.get('reference') or {})}.items():
            yield f'{where}, {label!r}', [split_reference(value)]
        for key in ('x', 'y', 'by', 'beside') if 'y' in figure else ():
            if key in figure:
                yield f'{where}, {key!r}', [(run, figure[key]) for run in _runs(figure, expected)]
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


def _judging(report: Mapping[str, Any], expected: Expected) -> Iterator[tuple[str, Places]]:
    """Each number by which the report calls a run the best."""
    for name, choice in (report.get('chosen') or {}).items():
        yield f"chosen {name!r}, 'by'", [(name, choice['by'])]
    for name, claim in (report.get('claims') or {}).items():
        if claim['kind'] == 'optimum':
            yield f"claim {name!r}, 'y'", [(run, claim['y']) for run in _runs(claim, expected)]
    for name, figure in (report.get('figures') or {}).items():
        if figure['kind'] == 'optima':
            yield f"figure {name!r}, 'y'", [(run, figure['y']) for run in _runs(figure, expected)]
        elif figure['kind'] == 'scatter':
            yield f"figure {name!r}, 'values'", [split_reference(value) for value in figure['values'].values()]


def _runs(entry: Mapping[str, Any], expected: Expected) -> list[str]:
    return [run for pattern in run_globs(entry['runs']) for run in matching(pattern, expected)]
