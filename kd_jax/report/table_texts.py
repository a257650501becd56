"""Tables as texts: headings, cells with their marks, and the legend that explains them."""

from collections.abc import Sequence
from typing import NamedTuple

from kd_jax.report import number_format
from kd_jax.report.comparison import Mark
from kd_jax.report.tables import NOT_RUN, Cell, Row, Table

GAIN, PAPER, DIFFERENCE, SEEDS = 'gain', 'paper', 'ours − paper', 'seeds'  # headings of the columns beside a number
LEVEL = '≈'  # stands after a number that cannot be told from the best


class ShownCell(NamedTuple):
    """The text of a cell, and whether it is marked as the best of its column or as level with the best."""

    text: str
    mark: Mark = ''


def table_cells(table: Table) -> tuple[list[str], list[list[ShownCell]]]:
    """Returns headings and rows. Beside a column stand its gains and the numbers from a paper, if it has any."""
    headings = ['']
    for column in table.columns:
        headings.append(number_format.heading(column.heading, column.unit))
        headings += ([GAIN] if column.gains else []) + ([PAPER, DIFFERENCE] if column.paper else [])
    rows = []
    for row in table.rows:
        line = [ShownCell(row.label)]
        for i, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            line.append(ShownCell(NOT_RUN if not row.seeds and i == 0 else cell.ours, cell.mark))
            line += [ShownCell(gain_text(row, cell))] if column.gains else []
            line += [ShownCell(cell.quoted), ShownCell(cell.difference)] if column.paper else []
        rows.append([*line, ShownCell(row.counted)])
    return [*headings, SEEDS], rows


def gain_text(row: Row, cell: Cell) -> str:
    """The gain of a cell over the baseline; the baseline's own row says that it is the baseline."""
    return 'baseline' if row.role == 'baseline' else cell.gained


def row_labels(tables: Sequence[Table]) -> dict[tuple[str, str], str]:
    """The label of the first row that shows the number at each (run, value path)."""
    shown = [(row, cell) for table in reversed(tables) for row in reversed(table.rows) for cell in row.cells]
    return {(row.run, cell.path): row.label for row, cell in shown if cell.path}


def table_legend(shown: Sequence[Table], best: str = 'Bold') -> str:
    """Returns a legend that explains the numbers of the tables; `best` says how the best of a column is marked."""
    cells = [cell for table in shown for row in table.rows for cell in row.cells if cell.measure]
    words = []
    if any(cell.measure and cell.measure.n > 1 for cell in cells):
        words.append('Numbers are the mean ± standard deviation over seeds.')
    elif cells:
        words.append('Numbers come from one seed, so they have no standard deviation.')
    if any(cell.mark == 'best' for cell in cells):
        teachers = any(row.role == 'teacher' for table in shown for row in table.rows)
        words.append(f'{best}: the best mean of its column{", teachers left out" if teachers else ""}.')
    if any(cell.mark == 'level' for cell in cells):
        words.append(f'{LEVEL} cannot be told from the best: the 95% interval of the difference includes zero.')
    if any(table.compared is not None for table in shown):
        words.append('The gain says how much better a row is than the baseline of its table, seed by seed.')
    if any(column.paper for table in shown for column in table.columns):
        words.append('Ours − paper is our mean minus the paper’s number; for percentages it is in percentage points.')
    return ' '.join(words)
