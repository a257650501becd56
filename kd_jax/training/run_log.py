"""The log of a run: its history in metrics.jsonl, and TensorBoard events."""

import contextlib
import json
import logging
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from kd_jax.config.checked_json import parse_checked
from kd_jax.config.errors import UserError
from kd_jax.config.file_schemas import HistoryRow
from kd_jax.config.json_files import flat, json_value
from kd_jax.config.ordinary_files import open_to_change, read_text, write_text

HISTORY_BYTES = 2**30

log = logging.getLogger(__name__)


class RunLog:
    """Appends a run's history to `metrics.jsonl` and to TensorBoard event files in the same directory.

    A resumed run takes its history from its checkpoint, where it has a checksum, and writes the file anew. So the file
    may be lost or damaged, and rows after the step from which the run continues are dropped. With several processes,
    only the primary process writes; the others keep the history in memory. Events are written directly. The writer of
    tensorboardX uses a thread, which a full disk ends; any code that waits for that thread would then wait forever.
    """

    def __init__(self, directory: pathlib.Path, step: int, history: Sequence[dict[str, Any]], primary: bool = True):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        self.path = directory / 'metrics.jsonl'
        self.history = list(history)
        self.board = None
        if not primary:
            return
        _warn_of_damage(self.path, self.history)
        write_text(self.path, ''.join(json.dumps(row) + '\n' for row in self.history))
        (directory / 'tensorboard').mkdir(exist_ok=True)
        self.board = EventsWriter(str(directory / 'tensorboard' / 'events'), f'.{step}')
        # A start event makes TensorBoard drop the later steps of earlier files.
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self.board.write_event(event_pb2.Event(wall_time=time.time(), step=step + 1, session_log=started))

    def write(self, row: dict[str, Any]) -> None:
        """Appends one evaluation: `step`, `epoch`, `seconds` and nested dictionaries of numbers.

        TensorBoard shows each number under its keys joined with '/': 'terms/soft', 'test/student/accuracy',
        'numbers/optimizers/student/learning_rate'.
        """
        row = json_value(row)
        self.history.append(row)
        if self.board is None:
            return
        with open_to_change(self.path, os.O_WRONLY | os.O_APPEND) as file:
            file.write(json.dumps(row).encode() + b'\n')
        from tensorboardX.proto import event_pb2, summary_pb2

        numbers = {name: number for name, number in flat(row).items() if isinstance(number, int | float)}
        values = [summary_pb2.Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        summary = summary_pb2.Summary(value=values)
        self.board.write_event(event_pb2.Event(wall_time=time.time(), step=row['step'], summary=summary))
        self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            with contextlib.suppress(OSError):  # the last write has already reported a full disk
                self.board.close()


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`; an incomplete last line is left out, and a file that does not exist has none.

    Raises:
      UserError: the file cannot be read, or another line is not a row.
    """
    mend = 'delete it together with the checkpoints of its run, or put a copy back'
    lines = read_text(path, HISTORY_BYTES, mend).split('\n') if path.exists() else ['']
    return [parse_checked(line, HistoryRow, f'{path}, line {n}', mend).content for n, line in enumerate(lines[:-1], 1)]


def _warn_of_damage(path: pathlib.Path, history: Sequence[dict[str, Any]]) -> None:
    try:
        damaged = read_history(path)[: len(history)] != list(history)
    except UserError:
        damaged = True
    if damaged:
        log.warning('%s is damaged or missing; it is written anew from the checkpoint.', path)
