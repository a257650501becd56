"""Signals that ask a run to stop."""

import os
import signal

import pytest

from kd_jax.training.stop_signals import Preempted, stop_signals


@pytest.fixture(autouse=True)
def in_a_terminal():
    """A test run that was started with nohup ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_seen_and_told_at_the_end(number):
    def work():
        with stop_signals() as seen:
            assert not seen
            os.kill(os.getpid(), number)
            assert seen == [number]

    with pytest.raises(Preempted, match='stopped by a signal after the last step') as stopped:
        work()
    assert stopped.value.number == number


def test_the_handlers_of_before_come_back():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with stop_signals():
        assert all(signal.getsignal(number) != handler for number, handler in zip(numbers, before, strict=True))
    assert [signal.getsignal(number) for number in numbers] == before


def test_an_error_inside_passes_and_a_signal_does_not_hide_it():
    def work():
        with stop_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ZeroDivisionError

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError):
        work()
    assert signal.getsignal(signal.SIGTERM) == before


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as seen:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not seen
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
