"""The console prints texts as they are, wherever they stand."""

import io

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from kd_jax.config.visible_text import visible
from kd_jax.report.plain_console import PlainConsole

NAME = '[bold]x[/] :one: [link=https://a.b]'
HOSTILE = 'a\x1b[31mb\x9bc\x07d\u202e'
SHOWN = r'a\x1b[31mb\x9bc'


def printed(thing, width=100, **options):
    stream = io.StringIO()
    PlainConsole(file=stream, width=width, **options).print(thing)
    return stream.getvalue()


def in_a_table(text):
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    table.add_row(Text(visible(text)))
    return table


@pytest.mark.parametrize(('made', 'times'), [(str, 1), (Text, 1), (in_a_table, 5)])
def test_markup_emoji_codes_and_control_characters_are_shown(made, times):
    assert printed(made(NAME)).count(NAME) == times
    out = printed(made(HOSTILE))
    assert out.count(SHOWN) == times
    assert not set(out) & set('\x1b\x9b\x07\u202e')


def test_colours_of_the_program_are_kept_and_those_of_a_name_are_not():
    out = printed(Text.assemble(('error: ', 'bold red'), HOSTILE), force_terminal=True, color_system='standard')
    assert out.startswith('\x1b[1;31merror: \x1b[0m')
    assert out.count('\x1b') == 2
    assert SHOWN in out


def test_progress_shows_names_as_they_are():
    stream = io.StringIO()
    console = PlainConsole(file=stream, width=200, force_terminal=True)
    with Progress(TextColumn('{task.description}', markup=False), console=console) as display:
        display.add_task(visible(NAME + HOSTILE))
    out = stream.getvalue()
    assert NAME + SHOWN in out
    assert '\x1b[31m' not in out


def test_cells_with_control_characters_keep_the_table_in_line():
    table = Table('a', 'b')
    table.add_row(HOSTILE, 'end')
    lines = printed(table, width=30).splitlines()
    assert len({len(line) for line in lines}) == 1
