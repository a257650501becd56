"""What is measured of a classifier, as sums that add up exactly over batches and hosts; and where it is written."""

import contextlib
import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ECE_BINS = 15


def classification_sums(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, teacher: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Sums over the examples where `mask` holds; `summary` turns them into rates.

    Args:
      logits: [batch, num_classes], or [copies, batch, num_classes], whose copies count as examples of their own.
      labels: [batch] integers.
      mask: [batch] booleans.
      teacher: logits that agreement and KL(teacher || student) are measured against, shaped like `logits` or
        broadcast to it.
    Returns:
      scalars, and three [ECE_BINS] arrays of the calibration histogram.
    """
    labels = jnp.broadcast_to(labels, logits.shape[:-1])
    weight = jnp.broadcast_to(mask, logits.shape[:-1]).astype(jnp.float32)
    log_q = jax.nn.log_softmax(logits.astype(jnp.float32))
    choice = jnp.argmax(logits, axis=-1)
    confidence = jnp.exp(jnp.max(log_q, axis=-1))
    right = (choice == labels).astype(jnp.float32)
    nll = -jnp.take_along_axis(log_q, labels[..., None], axis=-1)[..., 0]
    bins = jnp.clip(jnp.ceil(confidence * ECE_BINS).astype(jnp.int32) - 1, 0, ECE_BINS - 1)
    inside = jax.nn.one_hot(bins, ECE_BINS) * weight[..., None]
    axes = tuple(range(labels.ndim))
    sums = {
        'count': jnp.sum(weight),
        'errors': jnp.sum(weight * (1.0 - right)),
        'nll': jnp.sum(jnp.where(weight > 0, nll, 0.0)),
        'bin_count': jnp.sum(inside, axes),
        'bin_confidence': jnp.sum(inside * confidence[..., None], axes),
        'bin_right': jnp.sum(inside * right[..., None], axes),
    }
    if teacher is not None:
        log_p = jnp.broadcast_to(jax.nn.log_softmax(teacher.astype(jnp.float32)), log_q.shape)
        kl = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
        sums['agreement'] = jnp.sum(weight * (choice == jnp.argmax(log_p, axis=-1)))
        sums['kl'] = jnp.sum(jnp.where(weight > 0, kl, 0.0))
    return sums


def summary(sums: Mapping[str, Any], copies: int = 1) -> dict[str, float]:
    """Rates from `classification_sums`: errors, accuracy, nll (nats), ece, and agreement and kl if there is a teacher.

    The expected calibration error is that of Guo et al. (2017), equation 3, with 15 equal bins (lower bound open).
    `errors` and `count` are per copy: of ten stacked networks, the mean number of errors of one.
    """
    count = max(float(sums['count']), 1.0)
    gaps = np.abs(np.asarray(sums['bin_confidence'], np.float64) - np.asarray(sums['bin_right'], np.float64))
    out = {
        'count': round(count / copies),
        'errors': float(sums['errors']) / copies,
        'accuracy': 1.0 - float(sums['errors']) / count,
        'nll': float(sums['nll']) / count,
        'ece': float(gaps.sum()) / count,
    }
    return out | {key: float(sums[key]) / count for key in ('agreement', 'kl') if key in sums}


def finite(tree: Any) -> Any:
    """A JSON value: None in place of numbers that are not finite, a callable's name in place of it."""
    if isinstance(tree, Mapping):
        return {str(key): finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [finite(value) for value in tree]
    if callable(tree):
        return f'{tree.__module__}:{tree.__qualname__}'
    if isinstance(tree, np.generic):
        tree = tree.item()
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with part.open('w') as file:
            json.dump(finite(value), file, indent=1)
            file.write('\n')
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Writer:
    """Appends a run's history to `metrics.jsonl` and to TensorBoard event files in the same directory.

    A resumed run first drops what it had logged after the step that it goes on from. A process that is not the primary
    of several keeps the history but writes nothing. Events are written at once, not by a thread as tensorboardX's own
    writer does it: a full disk ends that thread, and then whoever waits for it waits for ever.
    """

    def __init__(self, directory: pathlib.Path, step: int, primary: bool = True):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        self.path = directory / 'metrics.jsonl'
        self.history = [row for row in read_history(self.path) if row['step'] <= step]
        self.board = None
        if not primary:
            return
        part = self.path.with_suffix('.part')
        part.write_text(''.join(json.dumps(row) + '\n' for row in self.history))
        part.replace(self.path)
        (directory / 'tensorboard').mkdir(exist_ok=True)
        self.board = EventsWriter(str(directory / 'tensorboard' / 'events'), f'.{step}')
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)  # later steps of an earlier file are void
        self.board.write_event(event_pb2.Event(wall_time=time.time(), step=step + 1, session_log=started))

    def write(self, row: dict[str, Any]) -> None:
        """One evaluation: `step`, `epoch`, `seconds` and nested dictionaries of numbers."""
        row = finite(row)
        self.history.append(row)
        if self.board is None:
            return
        with self.path.open('a') as file:
            file.write(json.dumps(row) + '\n')
        from tensorboardX.proto import event_pb2, summary_pb2

        numbers = {name: number for name, number in flat(row).items() if isinstance(number, int | float)}
        values = [summary_pb2.Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        summary = summary_pb2.Summary(value=values)
        self.board.write_event(event_pb2.Event(wall_time=time.time(), step=row['step'], summary=summary))
        self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            with contextlib.suppress(OSError):  # of a disk that is full, which the write before has told
                self.board.close()


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`; a last line that was cut off in writing is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Leaves by their path, keys joined with '/'."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f'{prefix}{key}'
        leaves |= flat(value, f'{name}/') if isinstance(value, Mapping) else {name: value}
    return leaves
