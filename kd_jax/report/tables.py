"""Tables of a study: each of our numbers, the paper's beside it, and the difference, as plain data."""

import dataclasses
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from kd_jax.report import format
from kd_jax.report.claims import claims
from kd_jax.report.results import Measure, Results, evaluation, measure, missing

NOT_RUN = 'not run yet'
LABEL = 24  # characters a row's label may be squeezed to in a terminal
METRICS = ('errors', 'accuracy', 'nll', 'ece', 'agreement', 'kl')


@dataclasses.dataclass(frozen=True)
class Column:
    heading: str
    kind: format.Kind
    paper: bool  # whether any row has a number of the paper's here


@dataclasses.dataclass(frozen=True)
class Cell:
    """Our number and the paper's, in the unit of the value path; the properties are how they are written."""

    measure: Measure | None
    paper: float | None
    kind: format.Kind
    seeds: int  # of the row, so that a cell measured on fewer can say so
    digits: int | None = None  # after the point, where the column has settled on a number

    @property
    def ours(self) -> str:
        text = format.measured(self.measure, self.kind, self.digits)
        fewer = self.measure is not None and self.measure.n < self.seeds
        return f'{text} ({format.seeds(self.measure.n)})' if fewer and self.measure else text

    @property
    def quoted(self) -> str:
        return format.quoted(self.paper, self.kind)

    @property
    def difference(self) -> str:
        if self.measure is None or self.paper is None:
            return format.DASH
        digits = self.digits
        if digits is None:
            digits = format.decimals(self.measure.mean, self.kind, self.measure.n)
        return format.signed(self.measure.mean - self.paper, self.kind, digits)


@dataclasses.dataclass(frozen=True)
class Row:
    label: str
    run: str
    seeds: int
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    name: str
    title: str
    text: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def tables(study: dict[str, Any], results: Results) -> list[Table]:
    """The tables of the study's report section, or without any, one of every run's last metrics."""
    described = (study.get('report') or {}).get('tables') or _every_run(results)
    return [_table(name, table, results) for name, table in described.items()]


def _every_run(results: Results) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    seen: set[str] = set()
    for run, seeds in results.items():
        split, networks = evaluation(next(iter(seeds.values())))
        for network, metrics in networks.items():
            paths = {metric: f'last.{split}.{network}.{metric}' for metric in METRICS if metric in metrics}
            seen.update(paths)
            label = run if len(networks) == 1 else f'{run}: {network}'
            rows[label] = {'run': run, 'label': label, 'columns': paths}
    columns = {metric: f'last.test.student.{metric}' for metric in METRICS if metric in seen}
    for row in rows.values():
        row['columns'] = {metric: row['columns'].get(metric) for metric in columns}
    text = 'Metrics after the last step.'
    return {'runs': {'title': 'Every run', 'text': text, 'columns': columns, 'rows': rows}}


def _table(name: str, table: dict[str, Any], results: Results) -> Table:
    columns = tuple(
        Column(
            heading,
            format.kind_of(path),
            any((row.get('paper') or {}).get(heading) is not None for row in table['rows'].values()),
        )
        for heading, path in table['columns'].items()
    )
    rows = _aligned([_row(key, row, table['columns'], results) for key, row in table['rows'].items()])
    notes = _notes(table, rows, results)
    return Table(name, table.get('title', name), table.get('text', ''), columns, rows, notes)


def _row(key: str, row: dict[str, Any], columns: dict[str, str], results: Results) -> Row:
    run = row.get('run', key)
    seeds = len(results.get(run, {}))
    cells = []
    for heading, default in columns.items():
        path = (row.get('columns') or {}).get(heading, default)
        found = measure(results, run, path) if path else None
        paper = (row.get('paper') or {}).get(heading)
        cells.append(Cell(found, paper, format.kind_of(default), seeds))
    return Row(row.get('label', key), run, seeds, tuple(cells))


def _aligned(rows: list[Row]) -> tuple[Row, ...]:
    """The rows with one number of digits after the point for all plain numbers of a column."""
    columns = []
    for cells in zip(*(row.cells for row in rows), strict=True):
        means = [cell.measure.mean for cell in cells if cell.measure and cell.kind == 'number']
        digits = max((format.decimals(mean, 'number') for mean in means), default=None)
        if digits is not None and max(map(abs, means)) >= 0.001:
            digits = min(digits, 4)
        columns.append([dataclasses.replace(cell, digits=digits) for cell in cells])
    lines = zip(*columns, strict=True) if columns else [()] * len(rows)
    return tuple(dataclasses.replace(row, cells=tuple(cells)) for row, cells in zip(rows, lines, strict=True))


def _notes(table: dict[str, Any], rows: tuple[Row, ...], results: Results) -> tuple[str, ...]:
    """Explains gaps that look like mistakes: a column without a number, a row's own path without one."""
    notes: list[str] = []
    ran = [(row, entry) for row, entry in zip(rows, table['rows'].values(), strict=True) if row.seeds]
    for i, (heading, default) in enumerate(table['columns'].items()):
        empty = [(row, (entry.get('columns') or {}).get(heading)) for row, entry in ran if not row.cells[i].measure]
        notes += [f'{heading}: {missing(results, row.run, own)}' for row, own in empty if own]
        if empty and len(empty) == len(ran) and not any(own for _, own in empty):
            notes.append(f'{heading}: {missing(results, empty[0][0].run, default)}')
    return tuple(notes)


def grid(table: Table) -> tuple[list[str], list[list[str]]]:
    """The table as strings: its headings and its rows. A column with a paper's numbers becomes three."""
    headings = ['']
    for column in table.columns:
        headings.append(format.heading(column.heading, column.kind))
        headings += ['paper', 'difference'] if column.paper else []
    rows = []
    for row in table.rows:
        line = [row.label]
        for i, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            line.append(NOT_RUN if not row.seeds and i == 0 else cell.ours)
            line += [cell.quoted, cell.difference] if column.paper else []
        rows.append([*line, str(row.seeds) if row.seeds else format.DASH])
    return [*headings, 'seeds'], rows


def legend(shown: list[Table]) -> str:
    """How to read the numbers of the tables."""
    measures = [cell.measure for table in shown for row in table.rows for cell in row.cells if cell.measure]
    words = []
    if any(measure.n > 1 for measure in measures):
        words.append('Ours is the mean ± standard deviation over the seeds.')
    elif measures:
        words.append('Ours is one seed, so without a deviation.')
    if any(column.paper for table in shown for column in table.columns):
        words.append('The difference is ours minus the paper’s, for percentages in points.')
    return ' '.join(words)


def print_tables(study: dict[str, Any], results: Results, console: Console | None = None) -> None:
    """Prints the tables of which some run is finished, and the claims, the paper's numbers in a colour of their own."""
    console = console or Console()
    shown = [table for table in tables(study, results) if any(row.seeds for row in table.rows)]
    for table in shown:
        console.print(Text(table.title, 'bold'))
        for part in fitting(table, console.width):
            console.print(_terminal(part))
        for note in table.notes:
            console.print(Text(note, 'yellow'))
    console.print(Text(legend(shown), 'dim'))
    for claim in claims(study, results):
        console.print()
        console.print(Text.assemble((f'{claim.title}: ', 'bold'), claim.sentence))


def fitting(table: Table, width: int) -> list[Table]:
    """The table, its columns dealt out to several below each other where they exceed `width` characters."""
    headings, rows = grid(table)
    widths = [max(map(len, cells)) + 2 for cells in zip(headings, *rows, strict=True)]
    if min(widths[0], LABEL) + sum(widths[1:]) <= width or len(table.columns) == 1:
        return [table]
    half = -(-len(table.columns) // 2)
    parts = []
    for part in (slice(half), slice(half, None)):
        cut = tuple(dataclasses.replace(row, cells=row.cells[part]) for row in table.rows)
        parts += fitting(dataclasses.replace(table, columns=table.columns[part], rows=cut), width)
    return parts


def _terminal(table: Table) -> RichTable:
    headings, rows = grid(table)
    shown = RichTable(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for i, heading in enumerate(headings):
        style = {'paper': 'cyan', 'difference': 'dim', 'seeds': 'dim'}.get(heading, '') if i else ''
        justify: Literal['left', 'right'] = 'right' if i else 'left'
        shown.add_column(Text(heading), justify=justify, style=style, header_style=style, no_wrap=i > 0)
    for row in rows:
        shown.add_row(*(Text(cell, 'dim' if cell in (NOT_RUN, format.DASH) else '') for cell in row))
    return shown
