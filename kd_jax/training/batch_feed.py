"""The batch feed: the hyperparameters, frozen networks and examples that a chunk program reads."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from kd_jax.data import read_ahead
from kd_jax.data.read_ahead import prefetch, read_batches, stack_batches
from kd_jax.devices.mesh import batch_sharding, local_rows, place_batch, replicate_arrays
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.training.chunk_program import run_shardings
from kd_jax.training.stacked_runs import (
    Shared,
    float32_hparams,
    join_splits,
    shared_networks,
    stack_trees,
    stacked_shardings,
)

CHUNK = 128
CONVOLUTION_WORK = 10**12  # multiply-adds of a chunk on CPUs, as `convolution_work` counts: some seconds on two cores


class BatchFeed(NamedTuple):
    """What the chunk program reads, for one run or for a group of runs; a group's values are stacked.

    Attributes:
      prepared_runs: the runs.
      hparams: their hyperparameters.
      frozen: variables of the frozen networks.
      shared: what all runs have in common; it is not stacked.
      arrays: training examples of all runs, one run after another; equal training sets are stored once.
      starts: for each run, the position of its first example in `arrays`.
      resident: `arrays` on every device; None if the examples are streamed.
    """

    prepared_runs: Sequence[PreparedRun]
    hparams: Any
    frozen: dict[str, Any]
    shared: Shared
    arrays: Mapping[str, Any]
    starts: Sequence[int]
    resident: Any

    def arguments(self, xs: Any, views: Any) -> tuple[Any, ...]:
        """The arguments of the chunk program after the state; see `make_chunk_program`."""
        return self.hparams, self.frozen, self.resident, xs, views

    def positions(self, done: int, count: int) -> tuple[Any, Any]:
        """Positions of examples in `arrays`, and views, for `count` steps that start at step `done`.

        Returns:
          positions on the devices, [count, batch_size], or [runs, count, batch_size] if each run has its own batches;
          and views, [count].
        """
        mesh, batch_size = self.prepared_runs[0].mesh, self.prepared_runs[0].order.batch_size
        rows = local_rows(mesh, batch_size)
        ordered = [
            prepared.order.steps(done, count)
            for prepared in (self.prepared_runs[:1] if self.shared.batches else self.prepared_runs)
        ]
        own = [positions[:, rows] + first for (positions, _), first in zip(ordered, self.starts, strict=False)]
        xs = np.stack(own) if len(own) > 1 else own[0]
        return place_batch(batch_sharding(mesh, lead=xs.ndim - 1), xs, batch_size), ordered[0][1]

    @contextlib.contextmanager
    def chunks(self, first: int, eval_steps: int) -> Iterator[Iterator[tuple[int, Any, Any]]]:
        """Yields the chunks of steps from step `first` on; each chunk is prepared while the previous one is trained.

        A chunk is a tuple: the step at which it ends; positions (resident data) or batches (streamed data), on the
        devices; and views. Each process loads only its own part of a batch.

        Args:
          first: the step at which training starts.
          eval_steps: steps from one evaluation to the next; no chunk crosses an evaluation.
        """
        prepared = self.prepared_runs[0]
        order, total, by_step = prepared.order, prepared.total_steps, batch_sharding(prepared.mesh, lead=1)
        rows = local_rows(prepared.mesh, order.batch_size)

        def at(step: int) -> tuple[np.ndarray, Any]:
            positions, views = order.steps(step, 1)
            return positions[0, rows], views[0]

        def made() -> Iterator[tuple[int, Any, Any]]:
            resident, done, most = self.resident is not None, first, most_steps(prepared, self.arrays)
            while done < total:
                end = next_boundary(done, total, eval_steps, most)
                xs, views = self.positions(done, end - done)
                if not resident:
                    xs = place_batch(by_step, stack_batches(batches, end - done), order.batch_size)
                yield end, xs, views
                done = end

        with (
            contextlib.closing(read_batches(self.arrays, at, first, total)) as batches,
            contextlib.closing(prefetch(made())) as chunks,
        ):
            yield chunks


def make_feed(
    prepared_runs: Sequence[PreparedRun], frozen: Sequence[Mapping[str, Any]], splits: Sequence[Mapping[str, Any]]
) -> BatchFeed:
    """Makes the batch feed of a group of runs.

    Args:
      prepared_runs: the runs.
      frozen: for each run, the variables of its frozen networks. A network that is the same object for all runs is
        not stacked.
      splits: for each run, its training examples.
    """
    prepared, size = prepared_runs[0], len(prepared_runs)
    same = shared_networks(frozen)
    common = {name: frozen[0][name] for name in same}
    apart = stack_trees([{name: tree for name, tree in own.items() if name not in same} for own in frozen])
    networks = jax.device_put({**common, **apart}, stacked_shardings(run_shardings(prepared)[1], size, same))
    arrays, starts = join_splits(splits)
    shared = Shared(
        same, size > 1 and len({(j.seed, start) for j, start in zip(prepared_runs, starts, strict=True)}) == 1
    )
    resident = replicate_arrays(prepared.mesh, arrays) if prepared.resident else None
    hparams = stack_trees([float32_hparams(prepared) for prepared in prepared_runs])
    return BatchFeed(prepared_runs, hparams, networks, shared, arrays, starts, resident)


def most_steps(prepared: PreparedRun, arrays: Mapping[str, Any]) -> int:
    """The maximum number of steps in a chunk: fewer for large streamed examples and for convolutions on CPUs.

    With convolutions all chunks have the same number of steps, because each other number would be another program, and
    to compile one takes as long as thousands of small steps.
    """
    most = CHUNK
    if not prepared.resident:
        processes = len({device.process_index for device in prepared.mesh.devices.flat})
        most = read_ahead.steps_at_once(arrays, max(1, prepared.order.batch_size // processes), most)
    if prepared.convolves_on_cpu:
        most = max(1, min(most, CONVOLUTION_WORK // prepared.convolution_work))
        common = math.gcd(prepared.eval_steps, prepared.total_steps)
        most = max(steps for steps in range(1, most + 1) if common % steps == 0)
    return most


def next_boundary(done: int, total: int, eval_steps: int, most: int = CHUNK) -> int:
    """The end of the chunk that starts at step `done` and has at most `most` steps.

    Boundaries depend only on the step, so a resumed run executes the same programs as an uninterrupted one. Chunks are
    of equal length where a length of more than half of `most` allows it, because each other length is another program.
    They need not end with an epoch.
    """
    window = min(eval_steps, total)
    least = -(-window // most)
    parts = next((parts for parts in range(least, 2 * least) if window % parts == 0), least)
    chunk = -(-window // parts)
    in_window = min((done % window // chunk + 1) * chunk, window)
    return min(done - done % window + in_window, total)
