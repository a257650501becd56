"""What commands that train share: settings of the process, and exit codes."""

import contextlib
import logging
import os
import pathlib
import resource
import signal
import sys
import tempfile
from collections.abc import Callable

import jax
from jax.errors import JaxRuntimeError
from rich.text import Text

from experiments.terminal import console
from kd_jax.config.errors import UserError, first_line
from kd_jax.config.memory_errors import memory_errors
from kd_jax.config.visible_text import show_log
from kd_jax.scale import tpu_chips
from kd_jax.training.quiet_orbax import quiet_orbax
from kd_jax.training.stop_signals import Preempted

SIGNALLED = 128  # exit code of a process that a signal stopped: 128 + the signal's number
OPEN_FILES = 2**16
log = logging.getLogger('kd_jax')


def exit_code(command: Callable[[], int]) -> int:
    """Runs a command that trains and returns its exit code: 2 for a user's mistake, 128 + n if signal n stopped it."""
    show_log()
    quiet_orbax()
    logging.getLogger('kd_jax').setLevel(logging.INFO)
    tpu_chips.leave_out_libtpu()
    allow_open_files()
    try:
        keep_compiled_programs()
        with memory_errors('this study'):
            return command()
    except UserError as error:
        console.print(Text.assemble(('error: ', 'bold red'), str(error)), soft_wrap=True)
        return 2
    except Preempted as stop:
        console.print(str(stop), soft_wrap=True)
        return SIGNALLED + stop.number
    except JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        # The other processes have ended. A normal exit of JAX would wait for them, so leave at once.
        console.print(f'another process ended ({first_line(error)}); run the same command again in all processes.')
        sys.stdout.flush()
        os._exit(1)
    except KeyboardInterrupt:
        console.print('stopped between checkpoints; run the same command to continue.')
        return SIGNALLED + signal.SIGINT


def allow_open_files() -> None:
    """Raises the limit of open files as far as the system allows: each run of a group has a dozen open.

    Many systems allow 1,024 files or fewer unless a program asks for more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS says that any number is allowed, but refuses some
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def keep_compiled_programs() -> None:
    """Keeps compiled programs in the home directory, for later commands; without one, says that it cannot.

    Raises:
      UserError: there is neither a home directory nor a directory for temporary files, which matplotlib needs.
    """
    directory = cache_directory()
    jax.config.update('jax_compilation_cache_dir', directory and str(directory))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
    if directory is None:
        log.warning('The home directory cannot be written, so compiled programs are not kept; HOME sets another one.')
        logging.getLogger('matplotlib').setLevel(logging.ERROR)  # it would say the same in two sentences
        try:
            tempfile.gettempdir()
        except FileNotFoundError:
            raise UserError(
                'neither the home directory nor a directory for temporary files can be written, but figures need one; '
                'set TMPDIR to such a directory.'
            ) from None


def cache_directory() -> pathlib.Path | None:
    """Where programs that were compiled are kept; None if there is no home directory or it cannot be written."""
    try:
        directory = pathlib.Path.home() / '.cache' / 'kd_jax' / 'xla'
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: HOME is not set, and the user has no entry in the passwd file
        return None
    return directory if os.access(directory, os.W_OK | os.X_OK) else None
