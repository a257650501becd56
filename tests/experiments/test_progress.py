"""The progress display: the time left, and names as they are."""

import io

import pytest

from experiments import progress
from kd_jax.report.plain_console import PlainConsole


def test_time_left_counts_from_the_start_when_a_group_finishes_all_at_once():
    now = 0.0
    display, whole = progress.progress_display(15, lambda: now)
    now = 100.0
    for _ in range(3):
        display.advance(whole)
        now += 1e-3
    assert display.tasks[whole].time_remaining == pytest.approx(12 * 100 / 3, rel=0.01)


def test_long_names_in_the_progress_display_are_never_cut(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(progress, 'console', PlainConsole(file=stream, width=80, force_terminal=True))
    display, _ = progress.progress_display(2)
    with display:
        for name in ('a_' * 20 + 't1-s0', 'a_' * 20 + 't10-s0 [bold] :one:'):
            display.add_task(name, total=9, rate='3 steps/s', losses='hard 0.5  soft 0.25')
    out = stream.getvalue()
    assert '…' not in out
    assert '[bold] :one:' in ' '.join(out.split())
