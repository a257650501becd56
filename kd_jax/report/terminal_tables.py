"""Prints a study's tables and claims in a terminal."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from kd_jax.config.visible_text import visible
from kd_jax.report import number_format
from kd_jax.report.asked_runs import LeftAside, said_missing
from kd_jax.report.chosen_runs import with_chosen_runs
from kd_jax.report.finding import find
from kd_jax.report.paper_claims import study_claims
from kd_jax.report.plain_console import PlainConsole
from kd_jax.report.result_files import Results
from kd_jax.report.table_texts import DIFFERENCE, LEVEL, PAPER, SEEDS, ShownCell, table_cells, table_legend
from kd_jax.report.tables import NOT_RUN, Table, study_tables

BEST = '*'  # stands after the best number of a column, which is bold too if the terminal can show that
GAP = 3  # characters between two columns
LABEL = 24  # characters; narrow terminals wrap row labels to this width


def print_tables(
    study: dict[str, Any], results: Results, left_aside: Sequence[LeftAside] = (), console: Console | None = None
) -> None:
    """Prints what was found, what is missing, each table that has a finished run, the claims, and what is left aside.

    Numbers from the paper have their own colour.
    """
    console = console or PlainConsole()
    study = with_chosen_runs(study, results)
    tables = study_tables(study, results)
    finding = find(tables, results)
    console.print(Text(visible(finding.sentence), 'bold'))
    if missing := said_missing(study, results):
        console.print(Text(missing, 'yellow'))
    console.print(Text(f'{finding.note}\n' if finding.note else '', 'dim'))
    shown = [table for table in tables if any(row.seeds for row in table.rows)]
    for table in shown:
        console.print(Text(table.title, 'bold'))
        for part in fitting(table, console.width):
            console.print(_terminal(part))
        for note in table.notes:
            console.print(Text(note, 'yellow'))
    console.print(Text(table_legend(shown, BEST), 'dim'))
    for claim in study_claims(study, results):
        console.print()
        verdict = f'{claim.verdict}. ' if claim.verdict else ''
        console.print(Text.assemble((f'{claim.title}: {verdict}', 'bold'), claim.sentence, f' {claim.why}'.rstrip()))
    if left_aside:
        run, seed, reason = left_aside[0]
        more = f' The report lists all {len(left_aside)} results that are left aside.' if len(left_aside) > 1 else ''
        console.print(Text(f'\nLeft aside: {run}, seed {seed}: {reason}.{more}', 'yellow'))


def fitting(table: Table, width: int) -> list[Table]:
    """Splits a table that is wider than `width` characters into several tables, each with as many columns as fit.

    Where even one column is too wide, its gains and the paper's numbers stand in a table each.
    """
    parts, start = [], 0
    while start < len(table.columns):
        stops = range(len(table.columns), start + 1, -1)
        stop = next((stop for stop in stops if _width(_part(table, start, stop)) <= width), start + 1)
        part = _part(table, start, stop)
        first = part.columns[0]
        if _width(part) > width and first.gains and first.paper:
            alone = [dataclasses.replace(first, paper=False), dataclasses.replace(first, gains=False)]
            parts += [dataclasses.replace(part, columns=(column,)) for column in alone]
        else:
            parts.append(part)
        start = stop
    return parts or [table]


def _part(table: Table, start: int, stop: int) -> Table:
    rows = tuple(dataclasses.replace(row, cells=row.cells[start:stop]) for row in table.rows)
    return dataclasses.replace(table, columns=table.columns[start:stop], rows=rows)


def _width(table: Table) -> int:
    """The least width of a table in characters; narrow terminals wrap the labels of rows."""
    headings, rows = _marked_cells(table)
    columns = zip(headings, *([cell.text for cell in row] for row in rows), strict=True)
    label, *others = [max(map(len, texts)) + GAP for texts in columns]
    return min(label, LABEL) + sum(others)


def _marked_cells(table: Table) -> tuple[list[str], list[list[ShownCell]]]:
    """Headings, and cells with their marks. In a column with marks all cells leave space for one, to stay aligned."""
    headings, rows = table_cells(table)
    signs = {'best': f' {BEST}', 'level': f' {LEVEL}', '': '  '}
    marked = [any(row[i].mark for row in rows) for i in range(len(headings))]
    return [visible(heading) for heading in headings], [
        [
            ShownCell(visible(cell.text) + signs[cell.mark] * has, cell.mark)
            for cell, has in zip(row, marked, strict=True)
        ]
        for row in rows
    ]


def _terminal(table: Table) -> RichTable:
    headings, rows = _marked_cells(table)
    shown = RichTable(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for i, heading in enumerate(headings):
        style = {PAPER: 'cyan', DIFFERENCE: 'dim', SEEDS: 'dim'}.get(heading, '') if i else ''
        justify: Literal['left', 'right'] = 'right' if i else 'left'
        shown.add_column(
            Text(heading), justify=justify, style=style, header_style=style, no_wrap=i > 0, overflow='fold'
        )
    for row in rows:
        shown.add_row(*map(_text, row))
    return shown


def _text(cell: ShownCell) -> Text:
    nothing = cell.text.strip() in (NOT_RUN, number_format.DASH)
    return Text(cell.text, 'bold' if cell.mark == 'best' else 'dim' if nothing else '')
