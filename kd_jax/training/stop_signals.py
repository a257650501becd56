"""Stops training on SIGTERM, SIGINT or SIGHUP after the state is saved."""

import contextlib
import signal
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # SIGHUP: the terminal was closed


class Preempted(Exception):
    """The signal `number` asked the run to stop, and the run has saved its state."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yields a list that is empty until one of `SIGNALS` arrives; the signal's number is then appended.

    A SIGHUP that is ignored, as `nohup` does, stays ignored.

    Raises:
      Preempted: at the end, if a signal arrived and the code inside did not act on it.
    """
    seen: list[int] = []
    heard = [s for s in SIGNALS if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]
    before = {s: signal.signal(s, lambda number, _: seen.append(number)) for s in heard}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if seen:
        raise Preempted('stopped by a signal after the last step; run the same command to continue.', seen[0])
