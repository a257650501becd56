"""What a program reads of its runs: numbers and frozen networks, and chunk after chunk the steps' examples."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from kd_jax import packs, program, sharding
from kd_jax.data import stream
from kd_jax.job import Job

CHUNK = 128


class Feed(NamedTuple):
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

    jobs: Sequence[Job]
    hparams: Any
    frozen: dict[str, Any]
    shared: packs.Shared
    arrays: Mapping[str, Any]
    starts: Sequence[int]
    resident: Any

    def arguments(self, xs: Any, views: Any) -> tuple[Any, ...]:
        """What `program.make_run_chunk` takes after the state."""
        return self.hparams, self.frozen, self.resident, xs, views

    def positions(self, done: int, count: int) -> tuple[Any, Any]:
        """Positions in resident data, on the devices, and views of `count` steps from step `done` on."""
        mesh, batch_size = self.jobs[0].mesh, self.jobs[0].order.batch_size
        rows = sharding.local_rows(mesh, batch_size)
        ordered = [job.order.steps(done, count) for job in (self.jobs[:1] if self.shared.batches else self.jobs)]
        own = [positions[:, rows] + first for (positions, _), first in zip(ordered, self.starts, strict=False)]
        xs = np.stack(own) if len(own) > 1 else own[0]
        return sharding.place(sharding.batch_sharding(mesh, lead=xs.ndim - 1), xs, batch_size), ordered[0][1]

    @contextlib.contextmanager
    def chunks(self, first: int, eval_steps: int) -> Iterator[Iterator[tuple[int, Any, Any]]]:
        """The chunks of steps from step `first` on, made while the one before is trained on.

        Each is the step where it ends, this process's part of its positions or batches, on the devices, and its views.
        """
        job = self.jobs[0]
        order, total, by_step = job.order, job.total_steps, sharding.batch_sharding(job.mesh, lead=1)
        rows = sharding.local_rows(job.mesh, order.batch_size)

        def at(step: int) -> tuple[np.ndarray, Any]:
            positions, views = order.steps(step, 1)
            return positions[0, rows], views[0]

        def made() -> Iterator[tuple[int, Any, Any]]:
            resident, done, most = self.resident is not None, first, most_steps(job, self.arrays)
            while done < total:
                end = next_boundary(done, total, order.steps_per_epoch, eval_steps, most)
                xs, views = self.positions(done, end - done)
                if not resident:
                    xs = sharding.place(by_step, stream.stacked(batches, end - done), order.batch_size)
                yield end, xs, views
                done = end

        with (
            contextlib.closing(stream.batches(self.arrays, at, first, total)) as batches,
            contextlib.closing(stream.ahead(made())) as chunks,
        ):
            yield chunks


def feed(jobs: Sequence[Job], frozen: Sequence[Mapping[str, Any]], splits: Sequence[Mapping[str, Any]]) -> Feed:
    """The feed of runs whose frozen networks, one object where they are the same, and training examples are given."""
    job, size = jobs[0], len(jobs)
    same = packs.in_common(frozen)
    common = {name: frozen[0][name] for name in same}
    apart = packs.stacked([{name: tree for name, tree in own.items() if name not in same} for own in frozen])
    networks = jax.device_put({**common, **apart}, packs.shardings(program.shardings(job)[1], size, same))
    arrays, starts = packs.joined(splits)
    shared = packs.Shared(same, size > 1 and len({(j.seed, start) for j, start in zip(jobs, starts, strict=True)}) == 1)
    resident = sharding.replicate(job.mesh, arrays) if job.resident else None
    hparams = packs.stacked([packs.numbers(job) for job in jobs])
    return Feed(jobs, hparams, networks, shared, arrays, starts, resident)


def most_steps(job: Job, arrays: Mapping[str, Any]) -> int:
    """How many steps a chunk may have: fewer of large streamed examples, one where loops are slow."""
    if job.convolves_on_cpu:
        return 1
    if job.resident:
        return CHUNK
    processes = len({device.process_index for device in job.mesh.devices.flat})
    return stream.steps_at_once(arrays, max(1, job.order.batch_size // processes), CHUNK)


def next_boundary(done: int, total: int, per_epoch: int, eval_steps: int, most: int = CHUNK) -> int:
    """The step at which the chunk that starts at `done`, of at most `most` steps, ends.

    Boundaries depend on nothing but the step, so a resumed run executes the very programs of an uninterrupted one.
    """
    chunk = -(-per_epoch // -(-per_epoch // most))
    in_epoch = done - done % per_epoch + min((done % per_epoch // chunk + 1) * chunk, per_epoch)
    return min(in_epoch, done - done % eval_steps + eval_steps, total)
