"""Stops training on SIGTERM or SIGINT after the state is saved."""

import contextlib
import signal
from collections.abc import Iterator


class Preempted(Exception):
    """The signal `number` asked the run to stop, and the run has saved its state."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yields a list that is empty until SIGTERM or SIGINT arrives; the signal's number is then appended.

    Raises:
      Preempted: at the end, if a signal arrived and the code inside did not act on it.
    """
    seen: list[int] = []
    before = {s: signal.signal(s, lambda number, _: seen.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if seen:
        raise Preempted('stopped by a signal after the last step; run the same command to continue.', seen[0])
