"""Commands go on when their output cannot be written, cannot be encoded or has no width."""

import os
import subprocess
import sys

import pytest

from experiments import terminal

WORK = """
import os, sys
from experiments import terminal
def work():
    terminal.console.print('ü ± ' * 5000)
    open(sys.argv[1], 'w').write('done')
    if sys.argv[2] != '0': terminal.console.print('error: the reason')
    return int(sys.argv[2])
sys.exit(terminal.keep_going(work))
"""


def run_in_shell(tmp_path, how, code=0, **environment):
    """Runs `WORK` as the shell command `how`, in which $RUN stands for it; returns how it ended."""
    script = tmp_path / 'work.py'
    script.write_text(WORK)
    environment = {**os.environ, 'PYTHONPATH': os.getcwd(), **environment}
    command = how.replace('$RUN', f'{sys.executable} {script} {tmp_path / "done"} {code}')
    return subprocess.run(['bash', '-o', 'pipefail', '-c', command], env=environment, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ('how', 'code', 'ends'),
    [
        ('$RUN | head -c 1 >/dev/null', 0, 0),
        ('$RUN | true', 0, 0),
        ('$RUN | true', 2, 2),
        ('$RUN >&-', 0, 0),
        ('$RUN >&- 2>&- <&-', 0, 0),
        ('$RUN >/dev/full', 0, 2),
        ('$RUN >/dev/full', 3, 3),
        ('$RUN >/dev/full 2>/dev/full', 0, 2),
    ],
)
def test_work_is_done_whatever_happens_to_the_output(how, code, ends, tmp_path):
    ended = run_in_shell(tmp_path, how, code)
    assert (tmp_path / 'done').read_text() == 'done'
    assert ended.returncode == ends
    lost = '' if how != '$RUN >/dev/full' else (
        'error: output could not be written (No space left on device), but its work is done.\n'
    )  # fmt: skip
    assert ended.stderr.decode() == ('error: the reason\n' if code else lost)


def test_characters_that_the_encoding_lacks_are_written_as_escapes(tmp_path):
    ended = run_in_shell(tmp_path, '$RUN', PYTHONIOENCODING='ascii')
    assert (ended.returncode, ended.stderr) == (0, b'')
    assert ended.stdout.startswith(b'\\xfc \\xb1 ')


@pytest.mark.parametrize('columns', ['0', '1', '39', '-5', 'wide', '²', '', '9' * 5000])
def test_a_width_in_which_nothing_can_be_read_is_ignored(columns, monkeypatch):
    monkeypatch.setenv('COLUMNS', columns)
    terminal.forget_useless_width()
    assert 'COLUMNS' not in os.environ


def test_a_width_in_which_tables_can_be_read_is_kept(monkeypatch):
    monkeypatch.setenv('COLUMNS', '60')
    terminal.forget_useless_width()
    assert os.environ['COLUMNS'] == '60'


def test_what_libraries_print_to_a_closed_stream_does_not_reach_a_file_that_is_opened_later(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(
        'import os, sys\n'
        'from experiments.terminal import occupy_closed_streams\n'
        'occupy_closed_streams()\n'
        'with open(sys.argv[1], "w") as file:\n'
        '    file.write("mine")\n'
        '    file.flush()\n'
        '    os.write(1, b"printed"), os.write(2, b"printed")\n'
    )
    subprocess.run(
        ['bash', '-c', f'{sys.executable} {script} {tmp_path / "file"} <&- >&- 2>&-'],
        env={**os.environ, 'PYTHONPATH': os.getcwd()}, check=True, timeout=60,
    )  # fmt: skip
    assert (tmp_path / 'file').read_text() == 'mine'
