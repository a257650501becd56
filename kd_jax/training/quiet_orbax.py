"""Keeps the messages of Orbax's threads off the terminal: every error that they meet is raised again, as a sentence."""

import logging
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any


def quiet_orbax() -> None:
    """Silences what Orbax and its event loops print on their own when a save or a load fails or is cut short."""
    logging.getLogger('absl').setLevel(logging.CRITICAL)
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)
    warnings.filterwarnings('ignore', r'coroutine .* was never awaited', RuntimeWarning)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


class _Hook:
    """A hook for errors that nobody can catch; it passes on those that do not come from an event loop."""

    def __init__(self, others: Callable[[Any], Any]):
        self.others = others

    def __call__(self, unraisable: Any) -> None:
        frames = traceback.extract_tb(unraisable.exc_traceback)
        of_loop = any('asyncio' in frame.filename for frame in frames[-1:])
        if not of_loop and 'Event loop is closed' not in str(unraisable.exc_value):
            self.others(unraisable)
