"""What event loops print when they are closed too early is kept off the terminal; other errors are not."""

import asyncio
import logging
import sys
import types
import warnings

import pytest

from kd_jax.training.quiet_orbax import quiet_orbax


@pytest.fixture
def passed_on(monkeypatch):
    """The errors that reach the hook that was there before."""
    reached = []
    monkeypatch.setattr(sys, 'unraisablehook', reached.append)
    levels = {name: logging.getLogger(name).level for name in ('absl', 'asyncio')}
    with warnings.catch_warnings():
        quiet_orbax()
        quiet_orbax()  # a second time changes nothing
        yield reached
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def raised(work):
    try:
        work()
    except Exception as error:
        return types.SimpleNamespace(exc_value=error, exc_traceback=error.__traceback__)


def test_a_closed_event_loop_is_not_reported_and_other_errors_are(passed_on):
    loop = asyncio.new_event_loop()
    loop.close()
    sys.unraisablehook(raised(lambda: loop.call_soon_threadsafe(print)))
    assert passed_on == []
    other = raised(lambda: 1 / 0)
    sys.unraisablehook(other)
    assert passed_on == [other]
