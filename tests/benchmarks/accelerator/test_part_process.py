"""A part that fails or takes too long keeps what it measured."""

import os
import sys
import time

import pytest

from benchmarks.accelerator.part_process import outcome


def ran(code, seconds=30.0):
    return outcome([sys.executable, '-S', '-c', code], seconds, {'GIVEN': '7'})


def test_lines_that_are_objects_are_kept_and_others_are_not():
    code = 'import os; print("noise"); print("[1]"); print(\'{"row": %s}\' % os.environ["GIVEN"])'
    assert ran(code) == ([{'row': 7}], None)


def test_a_part_that_fails_keeps_its_rows_and_says_why():
    code = 'print(\'{"row": 1}\'); raise SystemExit("out of memory")'
    assert ran(code) == ([{'row': 1}], 'it ended with status 1: out of memory')


def test_a_part_that_is_killed_keeps_its_rows():
    code = 'import os; print(\'{"row": 1}\', flush=True); os.kill(os.getpid(), 9)'
    assert ran(code) == ([{'row': 1}], 'it ended with status -9')


def test_a_part_that_takes_too_long_ends_with_what_it_started():
    code = (
        'import subprocess, sys, time\n'
        'own = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])\n'
        'print(\'{"pid": %d}\' % own.pid, flush=True)\n'
        'time.sleep(60)'
    )
    ((found,), sentence) = ran(code, seconds=3.0)
    assert sentence == 'it was stopped after 3 s'
    for _ in range(100):
        if not running(found['pid']):
            return
        time.sleep(0.05)
    pytest.fail('the process that the part started still runs')


def running(pid):
    try:
        os.kill(pid, 0)
        with open(f'/proc/{pid}/stat') as file:  # a process that nobody has waited for yet counts as ended
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_without_time_nothing_starts():
    assert ran('raise SystemExit("started")', seconds=-1.0) == ([], 'no time was left for it')
