"""Tables in a terminal."""

import io

from rich.console import Console

from kd_jax.report.tables import study_tables
from kd_jax.report.terminal_tables import fitting, print_tables


def test_a_table_too_wide_for_the_terminal_is_split_without_losing_a_column(loaded):
    [table] = study_tables(*loaded)
    parts = fitting(table, 50)
    assert [[column.heading for column in part.columns] for part in parts] == [['errors'], ['accuracy']]
    assert [part.rows[0].cells[0].ours for part in parts] == ['7.0 ± 1.0', '93.00 ± 1.00']


def test_the_terminal_shows_whole_numbers_within_its_width(loaded):
    stream = io.StringIO()
    print_tables(*loaded, console=Console(file=stream, width=60))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    for cell in ('7.0 ± 1.0', '93.00 ± 1.00', 'not run yet', '+2.0'):
        assert cell in text


def test_markup_in_a_label_is_printed_as_it_is(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['student']['label'] = '[red]x[/red]'
    stream = io.StringIO()
    print_tables(study, results, console=Console(file=stream, width=100))
    assert '[red]x[/red]' in stream.getvalue()
