"""Tables of a study as plain data: numbers, their gain over the baseline, and the paper's numbers beside them."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kd_jax.report import number_format
from kd_jax.report.asked_runs import seed_count
from kd_jax.report.comparison import Gain, Mark, Measured, apart, find_baseline, gain_over, marks, teachers
from kd_jax.report.path_words import Difference
from kd_jax.report.result_files import Measure, Results, counted_on, judged_split, measure_over_seeds, why_missing
from kd_jax.report.stated_units import SPLITS, stated_in

NOT_RUN = 'not run yet'
NOTHING = 'Nothing was evaluated. A run names what to evaluate in `evaluate`.'
ROUNDED = ('count', 'fraction', 'seconds')  # units whose numbers have their own number of decimals
Role = Literal['baseline', 'teacher', '']


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
      heading: its heading.
      unit: the unit of its numbers.
      better: 'lower' or 'higher', as the metric states; None if it states neither.
      paper: whether any row has a number from the paper.
      gains: whether the gain over the baseline stands beside it.
    """

    heading: str
    unit: number_format.Unit
    better: str | None
    paper: bool
    gains: bool = False


@dataclasses.dataclass(frozen=True)
class Cell:
    """Our number and the paper's, in the unit of the value path; the properties are the formatted texts."""

    measure: Measure | None
    path: str  # the value path of the number; '' if the row has none in this column
    paper: float | None
    unit: number_format.Unit
    seeds: int  # number of seeds of the row; a cell that has fewer says so
    digits: int | None = None  # decimals that the whole column uses; None if each number has its own
    mark: Mark = ''
    gain: Gain | None = None
    examples: float | None = None  # on how many examples a count is counted, if it is known
    apart: Difference = ''  # in what it differs from its column; then it is not compared

    @property
    def compared(self) -> Measure | None:
        """The number, if it may be compared with those of its column."""
        return None if self.apart else self.measure

    @property
    def ours(self) -> str:
        text = number_format.measured(self.measure, self.unit, self.digits)
        fewer = self.measure is not None and self.measure.n < self.seeds
        return f'{text} ({number_format.seeds(self.measure.n)})' if fewer and self.measure else text

    @property
    def gained(self) -> str:
        if self.gain is None:
            return number_format.DASH
        n = self.gain.by_seed.n if self.gain.by_seed else 2
        digits = self.digits if self.digits is not None else number_format.decimals(self.gain.mean, self.unit, n)
        text = number_format.signed(self.gain.mean, self.unit, digits)
        spread = self.gain.by_seed.sd if self.gain.by_seed else None
        return text if spread is None else f'{text} ± {number_format.plain(spread, self.unit, digits)}'

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
    """A row. A teacher is shown for reference: it does not count when the best number of a column is marked."""

    label: str
    run: str
    seeds: int
    cells: tuple[Cell, ...]
    role: Role = ''
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

    @property
    def baseline(self) -> Row | None:
        return next((row for row in self.rows if row.role == 'baseline'), None)

    @property
    def compared(self) -> int | None:
        """The index of the column in which the rows are compared with the baseline; None if they are not."""
        return next((i for i, column in enumerate(self.columns) if column.gains), None)


def study_tables(study: dict[str, Any], results: Results) -> list[Table]:
    """Returns the tables of the report section; if it has none, one table with the last metrics of every run."""
    described = (study.get('report') or {}).get('tables') or _every_run(study, results)
    return [_table(name, table, study, results) for name, table in described.items()]


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


def _table(name: str, table: dict[str, Any], study: dict[str, Any], results: Results) -> Table:
    columns = tuple(
        Column(
            heading,
            stated_of_column(table, heading, results)['unit'],
            stated_of_column(table, heading, results).get('better'),
            any((row.get('paper') or {}).get(heading) is not None for row in table['rows'].values()),
        )
        for heading in table['columns']
    )
    roles = _roles(table, results)
    rows = [_row(row, key, roles[key], table['columns'], columns, results) for key, row in table['rows'].items()]
    rows = [dataclasses.replace(row, asked=seed_count(study, row.run)) for row in rows]
    rows = _marked(_aligned(rows), columns)
    notes = (*_notes(table, rows, results), *_said_apart(rows, columns))
    columns, rows = _compared(table, columns, rows)
    return Table(name, table.get('title', name), table.get('text', ''), columns, tuple(rows), notes)


def stated_of_column(
    table: Mapping[str, Any], heading: str, results: Mapping[str, Mapping[int, Mapping[str, Any]]]
) -> Mapping[str, Any]:
    """What is stated about a column: by the default path where a run states it, else by a row's own path.

    No way is the better one on training examples.
    """
    rows = {row.get('run', key): (row.get('columns') or {}).get(heading) for key, row in table['rows'].items()}
    default = [(run, table['columns'][heading]) for run in (*rows, *results)]
    own = [(run, path) for run, path in rows.items() if path]
    stated = stated_in(results, *default, *own)
    ways = (stated_in(results, place).get('better') for place in own)
    better = stated.get('better') or next(filter(None, ways), None)
    trained = any(key == SPLITS[0] for key in table['columns'][heading].split('.')[:2])
    return {'unit': stated['unit'], 'better': None if trained else better}


def _roles(table: dict[str, Any], results: Results) -> dict[str, Role]:
    """The role of each row: the baseline and the teachers that the table names or that are found, and the others."""
    runs = {key: row.get('run', key) for key, row in table['rows'].items()}
    baseline, found = table.get('baseline') or find_baseline(runs, results), teachers(results)
    teaching = table.get('teachers', [key for key, run in runs.items() if run in found])
    return {key: 'baseline' if key == baseline else 'teacher' if key in teaching else '' for key in runs}


def names_of_runs(runs: Sequence[str], tables: Sequence[Table]) -> dict[str, str]:
    """Run -> its name in the tables, or its own where the tables give no name, several, or one to several runs."""
    rows = {(row.run, row.label) for table in tables for row in table.rows if row.run in runs}
    rows_of = collections.Counter(run for run, _ in rows)
    rows_called = collections.Counter(label for _, label in rows)
    names = {run: label for run, label in rows if rows_of[run] == rows_called[label] == 1}
    return {run: names.get(run, run) for run in runs}


def _row(
    row: dict[str, Any], key: str, role: Role, paths: dict[str, str], columns: tuple[Column, ...], results: Results
) -> Row:
    run = row.get('run', key)
    seeds = len(results.get(run, {}))
    cells = []
    for column in columns:
        path = (row.get('columns') or {}).get(column.heading, paths[column.heading]) or ''
        found = measure_over_seeds(results, run, path) if path else None
        paper = (row.get('paper') or {}).get(column.heading)
        examples = counted_on(results, run, path) if found and column.unit == 'count' else None
        cells.append(Cell(found, path, paper, column.unit, seeds, examples=examples))
    return Row(row.get('label', key), run, seeds, tuple(cells), role)


def _said_apart(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Says which numbers are not compared with the others of their column, and why."""
    said = []
    for j, column in enumerate(columns):
        for differs, why in (('examples', 'measured on other examples'), ('metric', 'another metric')):
            labels = ', '.join(f'“{row.label}”' for row in rows if row.cells[j].apart == differs)
            said += [f'{column.heading} of {labels}: {why}, so not compared with the others.'] if labels else []
    return said


def _marked(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """Marks the best numbers of each column, without teachers and without numbers that measure something else."""
    marked = [list(row.cells) for row in rows]
    competing = [i for i, row in enumerate(rows) if row.role != 'teacher']
    baseline = next((i for i, row in enumerate(rows) if row.role == 'baseline'), None)
    for j, column in enumerate(columns):
        own = [Measured(cell.path, cell.examples) if (cell := row.cells[j]).measure else None for row in rows]
        for i, differs in enumerate(apart(own, baseline) if column.better else ()):
            marked[i][j] = dataclasses.replace(marked[i][j], apart=differs)
        found = marks([marked[i][j].compared for i in competing], column.better)
        for i, mark in zip(competing, found, strict=True):
            marked[i][j] = dataclasses.replace(marked[i][j], mark=mark)
    return [dataclasses.replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True)]


def _compared(
    table: dict[str, Any], columns: tuple[Column, ...], rows: list[Row]
) -> tuple[tuple[Column, ...], list[Row]]:
    """Adds the gains over the baseline to one column: the one that the table names, or the first that states a way."""
    headings = [column.heading for column in columns]
    judged = [i for i, column in enumerate(columns) if column.better]
    place = headings.index(table['compare']) if 'compare' in table else next(iter(judged), None)
    baseline = next((row.cells[place].measure for row in rows if row.role == 'baseline' and place is not None), None)
    if place is None or baseline is None or (better := columns[place].better) is None:
        return columns, rows
    gained = []
    for row in rows:
        cells, measure = list(row.cells), row.cells[place].compared
        if measure and row.role != 'baseline':
            cells[place] = dataclasses.replace(cells[place], gain=gain_over(measure, baseline, better))
        gained.append(dataclasses.replace(row, cells=tuple(cells)))
    if not any(row.cells[place].gain for row in gained):
        return columns, rows
    changed = dataclasses.replace(columns[place], gains=True)
    return (*columns[:place], changed, *columns[place + 1 :]), gained


def _aligned(rows: list[Row]) -> list[Row]:
    """Gives all plain numbers of a column the same number of decimals."""
    columns = []
    for cells in zip(*(row.cells for row in rows), strict=True):
        means = [cell.measure.mean for cell in cells if cell.measure and cell.unit not in ROUNDED]
        digits = max((number_format.decimals(mean, 'number') for mean in means), default=None)
        if digits is not None and max(map(abs, means)) >= 0.001:
            digits = min(digits, 4)
        columns.append([dataclasses.replace(cell, digits=digits) for cell in cells])
    lines = zip(*columns, strict=True) if columns else [()] * len(rows)
    return [dataclasses.replace(row, cells=tuple(cells)) for row, cells in zip(rows, lines, strict=True)]


def _notes(table: dict[str, Any], rows: Sequence[Row], results: Results) -> tuple[str, ...]:
    """Explains gaps that look like mistakes: an empty column, or a row's own path without a number."""
    notes: list[str] = []
    ran = [(row, entry) for row, entry in zip(rows, table['rows'].values(), strict=True) if row.seeds]
    for i, (heading, default) in enumerate(table['columns'].items()):
        empty = [(row, (entry.get('columns') or {}).get(heading)) for row, entry in ran if not row.cells[i].measure]
        notes += [f'{heading}: {why_missing(results, row.run, own)}' for row, own in empty if own]
        if empty and len(empty) == len(ran) and not any(own for _, own in empty):
            notes.append(f'{heading}: {why_missing(results, empty[0][0].run, default)}')
    return tuple(notes)
