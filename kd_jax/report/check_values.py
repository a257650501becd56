"""Checks, before training, that the runs of a study will measure what its report section shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from kd_jax.config.errors import UserError
from kd_jax.config.name_globs import matching
from kd_jax.report.claim_verdicts import CONDITION, REFERENCES
from kd_jax.report.expected_results import why_not_expected
from kd_jax.report.path_words import differs
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
      UserError: the first number that no run measures, with a suggestion; a fraction above 1; a claim that compares
        different metrics or examples; a table that compares its rows in a column without a better way; or a best run
        asked for by a number of which none is better.
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
    for name, claim in (report.get('claims') or {}).items():
        _check_claim(f'claim {name!r}', claim, expected)
    for name, table in (report.get('tables') or {}).items():
        _check_compared(name, table, expected)
        for key, row in table['rows'].items():
            for heading, paper in (row.get('paper') or {}).items():
                path = (row.get('columns') or {}).get(heading) or table['columns'][heading]
                is_fraction = (stated_at(expected.get(row.get('run', key), {}), path) or {}).get('unit') == 'fraction'
                if is_fraction:
                    _check_fraction(f"table {name!r}, row {key!r}: the paper's {heading}", paper)


def _check_claim(where: str, claim: Mapping[str, Any], expected: Expected) -> None:
    """Checks that the numbers of a claim can be compared, and that fractions are fractions."""
    parts = [split_reference(claim[key]) for key in REFERENCES if key in claim]
    if any(run not in expected for run, _ in parts):
        return
    for run, path in parts[1:]:
        found = differs(parts[0][1], path)
        counts = [_examples(expected, one) for one in (parts[0], (run, path))]
        if found or (None not in counts and counts[0] != counts[1]):
            mend = 'one metric' if found == 'metric' else 'as many examples of one split'
            raise UserError(f'report: {where} compares {":".join(parts[0])!r} with {run + ":" + path!r}; give {mend}.')
    unit = (stated_at(expected[parts[0][0]], parts[0][1]) or {}).get('unit') if parts else None
    largest = 2.0 if claim['kind'] == 'share' else 1.0  # a share may be somewhat above 1
    if claim['kind'] == 'share' or (unit == 'fraction' and claim['kind'] in ('number', 'difference')):
        for key, value in {'paper': claim.get('paper'), **(claim.get('rule') or {})}.items():
            _check_fraction(f'{where}, {key!r}', value, largest)


def _examples(expected: Expected, part: tuple[str, str]) -> int | None:
    """On how many examples a count is counted; None for another number, and if it is not known."""
    run, path = part
    own = expected[run]
    if (stated_at(own, path) or {}).get('unit') != 'count':
        return None
    return next((own['examples'][key] for key in path.split('.') if key in own['examples']), None)


def _check_fraction(what: str, value: float | None, largest: float = 1.0) -> None:
    if value is not None and abs(value) > largest:
        raise UserError(f'report: {what} must be a fraction: {value / 100}, not {value}.')


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
