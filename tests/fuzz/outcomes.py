"""What a fuzzed command may end in: success, or one sentence, soon and in little memory."""

import contextlib
import io
import resource
import signal
import sys
import tracemalloc

from kd_jax.config.errors import UserError

SECONDS = 300  # of one example, which may train, on a busy machine
RESERVED = 2**32  # bytes of addresses that an example may reserve beyond those before it
GROWTH = 2**30  # bytes of memory that it may take
LONGEST = 20_000  # characters of a sentence


@contextlib.contextmanager
def bounded():
    """Fails if the block takes too long or too much memory."""

    def too_long(*_):
        raise AssertionError(f'it ran for more than {SECONDS} s')

    before, limits = _peak(), resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    if sys.platform == 'linux':
        resource.setrlimit(resource.RLIMIT_AS, (_addresses() + RESERVED, limits[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert _peak() - before < GROWTH, f'it took {_peak() - before:,} bytes of memory'


def _peak():
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _addresses():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def ends_well(main, arguments, several_lines=False):
    """Runs a command; it succeeds, or says one sentence and returns 2. Returns the code and what it said.

    A command that trains says more before (`several_lines`).
    """
    out, err = io.StringIO(), io.StringIO()
    with bounded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    said = out.getvalue() + err.getvalue()
    assert code in (0, 2), (code, said)
    assert 'Traceback' not in said, said
    if code == 2 and several_lines:
        assert said.count('error: ') == 1, said
    elif code == 2:
        assert len(sentence := said.strip()) < LONGEST
        assert len(sentence.splitlines()) == 1, said
        assert sentence.isprintable(), said
    return code, said


def read_or_refused(read, limit):
    """Calls a function that reads a file: it returns a value or raises a UserError; Python's memory stays in a limit.

    Returns:
      the value; None if the file was refused.
    """
    tracemalloc.start()
    try:
        with bounded():
            return read()
    except UserError as error:
        sentence = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < limit, f'it took {peak:,} bytes'
    assert sentence.isprintable(), sentence
    return None
