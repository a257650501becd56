"""The terminal of a command: a usable width, an encoding that never fails, and output that nobody reads any more."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from kd_jax.report.plain_console import PlainConsole

NARROWEST = 40  # columns; below that, tables and sentences fall apart into letters
WIDEST = 1000


def forget_useless_width() -> None:
    """Removes COLUMNS from the environment unless it is a width in which tables can be read.

    With COLUMNS=0, which some shells and schedulers export, rich prints nothing at all, errors included.
    """
    text = os.environ.get('COLUMNS', '')
    if not (text.isascii() and text.isdigit() and NARROWEST <= int(text[:9]) <= WIDEST):
        os.environ.pop('COLUMNS', None)


forget_useless_width()
console = PlainConsole()


class LastingStream:
    """A text stream that goes on when it cannot be written: what comes after the first error is dropped.

    Training must not end because the reader of a pipe has gone or a disk with the terminal's log is full.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.error: OSError | None = None
        self.last = ''

    def write(self, text: str) -> int:
        self.last = text if text.strip() else self.last
        try:
            return self._stream.write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        self.error = self.error or error
        # The text that the stream still holds would raise the error again when Python ends.
        with contextlib.suppress(OSError), open(os.devnull, 'wb') as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_going(command: Callable[[], int]) -> int:
    """Runs a command to its end even if its output cannot be written, and returns its exit code.

    A character that the encoding of stdout lacks is written as an escape such as \\xfc. If output was lost, the code is
    2 instead of 0, and stderr says why. A reader that has gone, as in `| head`, has seen enough: the code stays. If the
    command failed, stderr repeats the last that it said.
    """
    occupy_closed_streams()
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    streams = [None if stream is None else LastingStream(stream) for stream in before]
    sys.stdout, sys.stderr = streams  # type: ignore[assignment]  # they do all that text streams do
    try:
        code = command()
    finally:
        for one in filter(None, streams):
            one.flush()
        sys.stdout, sys.stderr = before
    lost = next((one for one in streams if one and one.error), None)
    if lost is None or lost.error is None:
        return code
    with contextlib.suppress(OSError):
        if code:  # the last that was said is the reason
            print(lost.last.strip(), file=sys.stderr, flush=True)
        elif lost.error.errno != errno.EPIPE:
            print(
                f'error: output could not be written ({lost.error.strerror}), but its work is done.', file=sys.stderr,
                flush=True,
            )  # fmt: skip
    if lost.error.errno == errno.EPIPE:
        return code
    return code or 2


def occupy_closed_streams() -> None:
    """Opens /dev/null for each standard stream that is closed.

    Otherwise the next file that is opened, a checkpoint for example, gets its number and what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one


def leave(code: int) -> NoReturn:
    """Ends the process with an exit code.

    After an error (code 2) it does not wait for threads: those of Orbax would wait for ten minutes after a save that
    failed. Several processes that run one program do wait, because they end together.
    """
    import jax  # here, because commands without training do without it

    if code == 2 and not jax.distributed.is_initialized():
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
