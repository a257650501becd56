"""What a compiled program reads: numbers, frozen networks, and the examples of each chunk of steps."""

import contextlib
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


class BatchFeed(NamedTuple):
    """What is read of runs that are trained together, stacked if they are several.

    Attributes:
      jobs: of the runs.
      hparams: their numbers.
      frozen: variables of frozen networks.
      shared: what all runs have in common, which is not stacked.
      arrays: training examples of all runs, one run's after another's.
      starts: the position of each run's first example.
      resident: the arrays on every device, None if they are streamed.
    """

    prepared_runs: Sequence[PreparedRun]
    hparams: Any
    frozen: dict[str, Any]
    shared: Shared
    arrays: Mapping[str, Any]
    starts: Sequence[int]
    resident: Any

    def arguments(self, xs: Any, views: Any) -> tuple[Any, ...]:
        """What `program.make_run_chunk` takes after the state."""
        return self.hparams, self.frozen, self.resident, xs, views

    def positions(self, done: int, count: int) -> tuple[Any, Any]:
        """Positions in resident data, on the devices, and views of `count` steps from step `done` on."""
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
        """The chunks of steps from step `first` on, made while the one before is trained on.

        Each is the step where it ends, this process's part of its positions or batches, on the devices, and its views.
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
                end = next_boundary(done, total, order.steps_per_epoch, eval_steps, most)
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
    """The feed of runs whose frozen networks, one object where they are the same, and training examples are given."""
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
    """How many steps a chunk may have: fewer of large streamed examples, one where loops are slow."""
    if prepared.convolves_on_cpu:
        return 1
    if prepared.resident:
        return CHUNK
    processes = len({device.process_index for device in prepared.mesh.devices.flat})
    return read_ahead.steps_at_once(arrays, max(1, prepared.order.batch_size // processes), CHUNK)


def next_boundary(done: int, total: int, per_epoch: int, eval_steps: int, most: int = CHUNK) -> int:
    """The step at which the chunk that starts at `done`, of at most `most` steps, ends.

    Boundaries depend on nothing but the step, so a resumed run executes the very programs of an uninterrupted one.
    """
    chunk = -(-per_epoch // -(-per_epoch // most))
    in_epoch = done - done % per_epoch + min((done % per_epoch // chunk + 1) * chunk, per_epoch)
    return min(in_epoch, done - done % eval_steps + eval_steps, total)
