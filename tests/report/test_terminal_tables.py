"""Tables in a terminal."""

import io

import pytest
from rich.console import Console

from kd_jax.report.plain_console import PlainConsole
from kd_jax.report.table_texts import table_cells
from kd_jax.report.tables import study_tables
from kd_jax.report.terminal_tables import fitting, print_tables


def test_a_table_too_wide_for_the_terminal_is_split_without_losing_a_column(loaded):
    [table] = study_tables(*loaded)
    parts = fitting(table, 50)
    assert [table_cells(part)[0][1:-1] for part in parts] == [
        ['errors', 'gain'],
        ['errors', 'paper', 'ours − paper'],
        ['accuracy (%)'],
    ]
    assert [part.rows[0].cells[0].ours for part in parts] == ['7.0 ± 1.0', '7.0 ± 1.0', '93.00 ± 1.00']


def test_the_terminal_shows_whole_numbers_within_its_width(loaded):
    stream = io.StringIO()
    print_tables(*loaded, console=Console(file=stream, width=60))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    for cell in ('7.0 ± 1.0', '93.00 ± 1.00', 'not run yet', '+2.0'):
        assert cell in text


@pytest.mark.parametrize('width', range(40, 80))
def test_short_names_are_whole_at_any_width(loaded, width):
    stream = io.StringIO()
    print_tables(*loaded, console=PlainConsole(file=stream, width=width))
    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert all(any(line[:1] == [name] for line in lines) for name in ('distilled', 'baseline'))


def test_rows_with_long_names_never_read_alike(loaded):
    study, results = loaded
    names = [f'student_of_two_teachers_with_a_long_name_t{t}' for t in (1, 2, 10)]
    del study['report']
    stream = io.StringIO()
    print_tables(study, dict.fromkeys(names, results['student']), console=PlainConsole(file=stream, width=40))
    text = stream.getvalue()
    assert '…' not in text
    assert max(map(len, text.splitlines())) <= 40
    assert all(end in text for end in ('t1 ', 't2 ', 't10 '))


def test_markup_in_a_label_is_printed_as_it_is(loaded):
    study, results = loaded
    study['report']['tables']['main']['rows']['student']['label'] = '[red]x[/red]'
    stream = io.StringIO()
    print_tables(study, results, console=Console(file=stream, width=100))
    assert '[red]x[/red]' in stream.getvalue()


def test_the_terminal_says_first_what_was_found_and_marks_the_best_without_colours_too(loaded):
    stream = io.StringIO()
    print_tables(*loaded, console=Console(file=stream, width=120))
    text = stream.getvalue()
    assert text.startswith('“distilled” removes 5 of the 12 errors that “baseline” makes')
    [row] = [line for line in text.splitlines() if line.lstrip().startswith('distilled')]
    assert '7.0 ± 1.0 *' in row
    assert '+5.0 ± 1.0 ' in row
    assert '*: the best mean of its column.' in text


def test_marks_never_squeeze_the_names_of_rows(loaded):
    for width in range(50, 100):
        stream = io.StringIO()
        print_tables(*loaded, console=Console(file=stream, width=width))
        assert [line for line in stream.getvalue().splitlines() if line.split()[:1] == ['distilled']], width
