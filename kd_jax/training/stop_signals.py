"""Stops training on SIGTERM or SIGINT after the state is saved."""

import contextlib
import signal
from collections.abc import Iterator


class Preempted(Exception):
    """The run was asked to stop, by the signal `number`, and has saved its state."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM or SIGINT arrives.

    Raises:
      Preempted: at the end, if a signal arrived that nobody has acted on.
    """
    seen: list[int] = []
    before = {s: signal.signal(s, lambda number, _: seen.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if seen:
        raise Preempted('stopped after the last step that was due; run the same command to go on.', seen[0])
