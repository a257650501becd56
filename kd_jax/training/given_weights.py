"""Finishes a run that trains nothing: saves the weights that it was given, evaluates them and makes its result."""

import contextlib
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from kd_jax.devices.processes import is_primary
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.training import provenance
from kd_jax.training.active_run import first_position
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.chunk_program import make_initial_state
from kd_jax.training.initial_weights import load_initial_weights
from kd_jax.training.run_log import RunLog
from kd_jax.training.run_result import make_result, measure_run


def finish_with_weights(
    prepared: PreparedRun,
    directory: pathlib.Path,
    sources: Mapping[str, pathlib.Path],
    weights: Mapping[str, Any],
    began: float,
) -> dict[str, Any]:
    """Saves and evaluates given weights; returns the result, like that of a run that was trained.

    Args:
      prepared: the run; it has no step to train.
      directory: the run's directory, for the checkpoint, metrics.jsonl and TensorBoard files.
      sources: run name -> directory, for the runs that the frozen networks start from.
      weights: network -> variables, for the networks that are not frozen.
      began: `time.monotonic()` when the run began, for its seconds.
    Raises:
      UserError: a checkpoint is missing or does not fit, or the disk is full.
    """
    provenance.of_this_process()
    loaded = {**load_initial_weights(prepared, sources), **weights}
    state, frozen = make_initial_state(prepared, loaded)
    measured = measure_run(prepared, state, frozen, prepared.splits_at_end)
    with contextlib.ExitStack() as opened:
        checkpoints = Checkpoints(directory / 'checkpoints')
        opened.callback(checkpoints.close)
        log = RunLog(directory, -1, [], is_primary())
        opened.callback(log.close)
        seconds = time.monotonic() - began
        row = {'step': 0, 'epoch': 0.0, 'seconds': seconds, 'terms': {}}
        log.write(row | {split: measured[split] for split in ('valid', 'test') if split in measured})
        position = first_position() | {'seconds': seconds, 'history': log.history}
        checkpoints.save(state, position)
        return make_result(prepared, state, frozen, measured, position, log.history)
