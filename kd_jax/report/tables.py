"""Tables of a study as plain data: our numbers, the paper's numbers, and the difference."""

import dataclasses
from typing import Any

from kd_jax.report import number_format
from kd_jax.report.asked_runs import seed_count
from kd_jax.report.result_files import Measure, Results, judged_split, measure_over_seeds, why_missing
from kd_jax.report.stated_units import stated_in

NOT_RUN = 'not run yet'
NOTHING = 'Nothing was evaluated. A run names what to evaluate in `evaluate`.'
ROUNDED = ('count', 'fraction', 'seconds')  # units whose numbers have their own number of decimals


@dataclasses.dataclass(frozen=True)
class Column:
    heading: str
    unit: number_format.Unit
    paper: bool  # whether any row has a number from the paper in this column


@dataclasses.dataclass(frozen=True)
class Cell:
    """Our number and the paper's, in the unit of the value path; the properties are the formatted texts."""

    measure: Measure | None
    paper: float | None
    unit: number_format.Unit
    seeds: int  # number of seeds of the row; a cell that has fewer says so
    digits: int | None = None  # decimals that the whole column uses; None if each number has its own

    @property
    def ours(self) -> str:
        text = number_format.measured(self.measure, self.unit, self.digits)
        fewer = self.measure is not None and self.measure.n < self.seeds
        return f'{text} ({number_format.seeds(self.measure.n)})' if fewer and self.measure else text

    @property
    def quoted(self) -> str:
        return number_format.quoted(self.paper, self.unit)

    @property
    def difference(self) -> str:
        if self.measure is None or self.paper is None:
            return number_format.DASH
        digits = self.digits
        if digits is None:
            digits = number_format.decimals(self.measure.mean, self.unit, self.measure.n)
        return number_format.signed(self.measure.mean - self.paper, self.unit, digits)


@dataclasses.dataclass(frozen=True)
class Row:
    label: str
    run: str
    seeds: int
    cells: tuple[Cell, ...]
    asked: int | None = None  # the number of seeds that the study asks for; None if it does not say

    @property
    def counted(self) -> str:
        """The number of seeds as text: '3', '2 of 3' if some are missing, or a dash."""
        if self.seeds and self.asked and self.seeds < self.asked:
            return f'{self.seeds} of {self.asked}'
        return str(self.seeds) if self.seeds else number_format.DASH


@dataclasses.dataclass(frozen=True)
class Table:
    name: str
    title: str
    text: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def study_tables(study: dict[str, Any], results: Results) -> list[Table]:
    """Returns the tables of the report section; if it has none, one table with the last metrics of every run."""
    described = (study.get('report') or {}).get('tables') or _every_run(study, results)
    asked = seed_count(study)
    return [_table(name, table, results, asked) for name, table in described.items()]


def _every_run(study: dict[str, Any], results: Results) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    columns: dict[str, str] = {}
    for run in study.get('runs') or results:
        if run not in results:
            rows[run] = {'run': run, 'columns': {}}
            continue
        result = next(iter(results[run].values()))
        split, networks = judged_split(result)
        for network, metrics in networks.items():
            judging = [name for name, stated in result['metrics'][network].items() if stated['better']]
            paths = {metric: f'last.{split}.{network}.{metric}' for metric in judging if metric in metrics}
            columns = {**columns, **{metric: path for metric, path in paths.items() if metric not in columns}}
            label = run if len(networks) == 1 else f'{run}: {network}'
            rows[label] = {'run': run, 'label': label, 'columns': paths}
    for row in rows.values():
        row['columns'] = {metric: row['columns'].get(metric) for metric in columns}
    if results and not columns:
        return {'runs': {'title': 'Every run', 'text': NOTHING, 'columns': {}, 'rows': {}}}
    text = 'Metrics after the last step.'
    return {'runs': {'title': 'Every run', 'text': text, 'columns': columns, 'rows': rows}}


def _table(name: str, table: dict[str, Any], results: Results, asked: int | None) -> Table:
    columns = tuple(
        Column(
            heading,
            _unit(table, heading, results),
            any((row.get('paper') or {}).get(heading) is not None for row in table['rows'].values()),
        )
        for heading in table['columns']
    )
    rows = _aligned([_row(key, row, table['columns'], columns, results) for key, row in table['rows'].items()])
    rows = tuple(dataclasses.replace(row, asked=asked) for row in rows)
    notes = _notes(table, rows, results)
    return Table(name, table.get('title', name), table.get('text', ''), columns, rows, notes)


def _unit(table: dict[str, Any], heading: str, results: Results) -> number_format.Unit:
    """The unit of a column: of the default path where a run states it, else of a row's own path."""
    rows = {row.get('run', key): (row.get('columns') or {}).get(heading) for key, row in table['rows'].items()}
    default = [(run, table['columns'][heading]) for run in (*rows, *results)]
    return stated_in(results, *default, *((run, path) for run, path in rows.items() if path))['unit']


def _row(key: str, row: dict[str, Any], paths: dict[str, str], columns: tuple[Column, ...], results: Results) -> Row:
    run = row.get('run', key)
    seeds = len(results.get(run, {}))
    cells = []
    for column in columns:
        path = (row.get('columns') or {}).get(column.heading, paths[column.heading])
        found = measure_over_seeds(results, run, path) if path else None
        paper = (row.get('paper') or {}).get(column.heading)
        cells.append(Cell(found, paper, column.unit, seeds))
    return Row(row.get('label', key), run, seeds, tuple(cells))


def _aligned(rows: list[Row]) -> tuple[Row, ...]:
    """Gives all plain numbers of a column the same number of decimals."""
    columns = []
    for cells in zip(*(row.cells for row in rows), strict=True):
        means = [cell.measure.mean for cell in cells if cell.measure and cell.unit not in ROUNDED]
        digits = max((number_format.decimals(mean, 'number') for mean in means), default=None)
        if digits is not None and max(map(abs, means)) >= 0.001:
            digits = min(digits, 4)
        columns.append([dataclasses.replace(cell, digits=digits) for cell in cells])
    lines = zip(*columns, strict=True) if columns else [()] * len(rows)
    return tuple(dataclasses.replace(row, cells=tuple(cells)) for row, cells in zip(rows, lines, strict=True))


def _notes(table: dict[str, Any], rows: tuple[Row, ...], results: Results) -> tuple[str, ...]:
    """Explains gaps that look like mistakes: an empty column, or a row's own path without a number."""
    notes: list[str] = []
    ran = [(row, entry) for row, entry in zip(rows, table['rows'].values(), strict=True) if row.seeds]
    for i, (heading, default) in enumerate(table['columns'].items()):
        empty = [(row, (entry.get('columns') or {}).get(heading)) for row, entry in ran if not row.cells[i].measure]
        notes += [f'{heading}: {why_missing(results, row.run, own)}' for row, own in empty if own]
        if empty and len(empty) == len(ran) and not any(own for _, own in empty):
            notes.append(f'{heading}: {why_missing(results, empty[0][0].run, default)}')
    return tuple(notes)


def table_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Returns headings and rows as strings. A column with numbers from a paper becomes three columns."""
    headings = ['']
    for column in table.columns:
        headings.append(number_format.heading(column.heading, column.unit))
        headings += ['paper', 'difference'] if column.paper else []
    rows = []
    for row in table.rows:
        line = [row.label]
        for i, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            line.append(NOT_RUN if not row.seeds and i == 0 else cell.ours)
            line += [cell.quoted, cell.difference] if column.paper else []
        rows.append([*line, row.counted])
    return [*headings, 'seeds'], rows


def table_legend(shown: list[Table]) -> str:
    """Returns a legend that explains the numbers of the tables."""
    measures = [cell.measure for table in shown for row in table.rows for cell in row.cells if cell.measure]
    words = []
    if any(measure.n > 1 for measure in measures):
        words.append('Our numbers are the mean ± standard deviation over seeds.')
    elif measures:
        words.append('Our numbers come from one seed, so they have no standard deviation.')
    if any(column.paper for table in shown for column in table.columns):
        words.append('The difference is our number minus the paper’s; for percentages it is in percentage points.')
    return ' '.join(words)
