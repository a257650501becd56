"""The commands. They end with one sentence on a platform that kd_jax does not support."""

import os
import sys
from typing import Any


def say_errors(kind: Any, error: Any, trace: Any) -> None:
    """Prints errors that nobody has caught; Ctrl-C outside of training is no traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print('stopped.', file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = say_errors

if os.name != 'posix' or sys.version_info < (3, 11):
    print(
        f'error: kd_jax needs Python 3.11 or newer on Linux or macOS, but this is Python '
        f'{sys.version_info[0]}.{sys.version_info[1]} on {sys.platform}; on Windows, use WSL.'
    )
    sys.exit(2)
