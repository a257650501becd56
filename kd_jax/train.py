"""The loop: data -> step -> evaluate -> checkpoint -> log, from wherever the run's directory says it stopped."""

import contextlib
import datetime
import functools
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kd_jax import analyses, cache, distributed, initialize, lookup, metrics, provenance, sharding, torch_weights
from kd_jax import step as steps
from kd_jax.checkpoint import Checkpoints, load_network
from kd_jax.data import pipeline, stream
from kd_jax.errors import Diverged
from kd_jax.job import Job, read_paths, variable_shapes
from kd_jax.models.adapters import Pretrained
from kd_jax.step import State

CHUNK = 128
Progress = Callable[[int, int, Mapping[str, float]], None]


class Preempted(Exception):
    """The run was asked to stop, by the signal `number`, and has saved its state."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


def train(
    job: Job,
    directory: pathlib.Path,
    sources: Mapping[str, pathlib.Path],
    progress: Progress,
    caches: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Trains a run to its end and returns its result; goes on from the newest checkpoint in `directory`.

    Args:
      job: from `job.prepare`.
      directory: of this run: checkpoints, metrics.jsonl, TensorBoard files.
      sources: run name -> directory, of the runs that networks start from.
      progress: called with (steps done, steps in all, the latest losses).
      caches: where runs share what they record of the same networks; `directory` unless said otherwise.
    Raises:
      UserError: a term became non-finite, a checkpoint is missing or foreign, the disk is full.
      Preempted: SIGTERM or SIGINT arrived; the state is saved.
    """
    provenance.of_this_process()
    directory.mkdir(parents=True, exist_ok=True)
    state, frozen = start(job, _load_networks(job, sources))
    checkpoints = Checkpoints(directory / 'checkpoints')
    position: dict[str, Any] = {'step': 0, 'seconds': 0.0, 'sums': {}}
    state, position = checkpoints.restore(state) or (state, position)
    writer = metrics.Writer(directory, int(state.step), distributed.is_primary())
    try:
        with stop_signals() as stop, contextlib.ExitStack() as opened:
            arrays = _training_split(job, state, frozen, caches or directory / 'caches', stop)
            state = _loop(job, state, frozen, arrays, position, checkpoints, writer, opened, stop, progress)
        return _result(job, state, frozen, writer.history)
    finally:
        writer.close()
        checkpoints.close()


def start(job: Job, loaded: Mapping[str, Any]) -> tuple[State, dict[str, Any]]:
    """The state before the first step and the frozen networks, made where they will live on the run's mesh."""
    init = functools.partial(initialize.init_state, job.recipe, job.context['batch'], job.seed)
    return jax.jit(init, out_shardings=shardings(job))(loaded)


def shardings(job: Job) -> tuple[State, dict[str, Any]]:
    """Where the state and the frozen networks live on the run's mesh."""
    state, frozen = jax.eval_shape(lambda: initialize.init_state(job.recipe, job.context['batch'], job.seed))
    return sharding.state_sharding(job.recipe, job.mesh, state), sharding.frozen_sharding(job.recipe, job.mesh, frozen)


def _training_split(job: Job, state: State, frozen, caches: pathlib.Path, stop: Sequence[int]) -> Mapping[str, Any]:
    """The arrays to train on: with recorded outputs of frozen networks, if the run has a cache."""
    if job.cache is None or int(state.step) == job.total_steps:
        return job.splits.arrays['train']

    def between() -> None:
        number = distributed.everywhere(stop[0] if stop else 0).max()
        if number:
            raise Preempted(
                f'{job.where} stopped while recording its cache; run the same command to go on.', int(number)
            )

    return cache.replay(job.cache, frozen, steps.fold_in_name(state.key, 'augment'), caches, between)


def _loop(
    job: Job,
    state: State,
    frozen,
    arrays: Mapping[str, Any],
    position,
    checkpoints: Checkpoints,
    writer: metrics.Writer,
    opened: contextlib.ExitStack,
    stop,
    progress: Progress,
) -> State:
    run_chunk = make_run_chunk(job)
    resident = sharding.replicate(job.mesh, arrays) if job.resident else None
    per_epoch, total, done = job.order.steps_per_epoch, job.total_steps, position['step']
    eval_steps = max(1, round(job.config.get('eval_every', 1) * per_epoch)) if total else 1
    sums, saved = position['sums'], time.monotonic()
    started = saved - position['seconds']
    progress(done, total, {})
    for end, xs, views in opened.enter_context(_chunks(job, arrays, resident is not None, done, eval_steps)):
        state, chunk = run_chunk(state, job.recipe.hparams, frozen, resident, xs, views)
        chunk = jax.device_get(chunk)
        _check_finite(chunk, done, job, checkpoints)
        done = end
        sums = {name: _added(sums.get(name, (0.0, 0.0)), pair) for name, pair in chunk.items()}
        losses = {name: summed / max(count, 1.0) for name, (summed, count) in sums.items()}
        progress(done, total, losses)
        if done % eval_steps == 0 or done == total:
            row = {'step': done, 'epoch': done / per_epoch, 'seconds': time.monotonic() - started, 'terms': losses}
            writer.write(row | measure(job, state, frozen, ('valid', 'test')))
            sums = {}
        due = done % eval_steps == 0 and time.monotonic() - saved >= job.config.get('checkpoint_seconds', 60)
        asked = distributed.everywhere(due, stop[0] if stop else 0)
        due, number = asked[0, 0], asked[:, 1].max()
        if due or number or done == total:
            checkpoints.save(state, {'step': done, 'seconds': time.monotonic() - started, 'sums': sums})
            saved = time.monotonic()
        if number:
            message = f'{job.where} stopped at step {done} of {total}; run the same command to go on.'
            raise Preempted(message, int(number))
    return state


@contextlib.contextmanager
def _chunks(job: Job, arrays, resident: bool, first: int, eval_steps: int) -> Iterator[Iterator[tuple[int, Any, Any]]]:
    """The chunks of steps from step `first` on, made while the one before is trained on.

    Each is the step where it ends, this process's part of its positions or batches, on the devices, and its views.
    """
    order, total, mesh = job.order, job.total_steps, job.mesh
    rows, by_step = sharding.local_rows(mesh, order.batch_size), sharding.batch_sharding(mesh, lead=1)

    def at(step: int) -> tuple[np.ndarray, Any]:
        positions, views = order.steps(step, 1)
        return positions[0, rows], views[0]

    def made() -> Iterator[tuple[int, Any, Any]]:
        done, most = first, CHUNK if resident else stream.steps_at_once(arrays, len(rows), CHUNK)
        while done < total:
            end = next_boundary(done, total, order.steps_per_epoch, eval_steps, most)
            positions, views = order.steps(done, end - done)
            xs = positions[:, rows] if resident else stream.stacked(batches, end - done)
            yield end, sharding.place(by_step, xs, order.batch_size), views
            done = end

    with (
        contextlib.closing(stream.batches(arrays, at, first, total)) as batches,
        contextlib.closing(stream.ahead(made())) as chunks,
    ):
        yield chunks


def _added(before: Sequence[float], pair: tuple[Any, Any]) -> tuple[float, float]:
    return before[0] + float(np.sum(pair[0])), before[1] + float(np.sum(pair[1]))


def next_boundary(done: int, total: int, per_epoch: int, eval_steps: int, most: int = CHUNK) -> int:
    """The step at which the chunk that starts at `done`, of at most `most` steps, ends.

    Boundaries depend on nothing but the step, so a resumed run executes the very programs of an uninterrupted one.
    """
    chunk = -(-per_epoch // -(-per_epoch // most))
    in_epoch = done - done % per_epoch + min((done % per_epoch // chunk + 1) * chunk, per_epoch)
    return min(in_epoch, done - done % eval_steps + eval_steps, total)


def make_run_chunk(job: Job) -> Callable[..., tuple[State, steps.Metrics]]:
    """Many training steps as one program: a scan over positions of device-resident data, or over streamed batches.

    The state and the frozen networks stay where `start` puts them, each batch is split over the mesh, and resident data
    is whole on every device.
    """
    train_step = steps.make_train_step(job.recipe, job.total_steps)
    of_state, of_frozen = shardings(job)
    whole, split = sharding.replicated(job.mesh), sharding.batch_sharding(job.mesh)
    by_step = sharding.batch_sharding(job.mesh, lead=1)

    @functools.partial(
        jax.jit,
        donate_argnums=0,
        in_shardings=(of_state, whole, of_frozen, whole, by_step, whole),
        out_shardings=(of_state, whole),
    )
    def run_chunk(state: State, hparams, frozen, resident, xs, views):
        key = steps.fold_in_name(state.key, 'augment')

        def body(state, x):
            positions_or_batch, view = x
            batch = positions_or_batch if resident is None else pipeline.fetch(resident, positions_or_batch, view)
            batch = jax.lax.with_sharding_constraint(batch, split)
            with jax.sharding.use_abstract_mesh(job.mesh.abstract_mesh):
                return train_step(state, hparams, frozen, job.view(batch, key, view))

        return jax.lax.scan(body, state, (xs, views))

    return run_chunk


def measure(job: Job, state: State, frozen, splits: tuple[str, ...]) -> dict[str, Any]:
    """Every evaluation on those of `splits` that the run has."""
    variables = steps.variables(state, frozen)
    present = [split for split in splits if split in job.splits.arrays]
    return {split: job.evaluator.measure(variables, job.splits.arrays[split]) for split in present}


def _check_finite(chunk: steps.Metrics, first: int, job: Job, checkpoints: Checkpoints) -> None:
    bad = {name: np.flatnonzero(~np.isfinite(summed)) for name, (summed, _) in chunk.items()}
    bad = {name: where for name, where in bad.items() if len(where)}
    if not bad:
        return
    terms = [name for name in bad if name not in ('loss', 'grad_norm')]
    name = min(terms or bad, key=lambda name: bad[name][0])
    step = first + int(bad[name][0]) + 1
    what = f"term '{name}'" if name in terms else f'the {name.replace("_", " ")}'
    kept = checkpoints.latest()
    raise Diverged(
        f'{job.where}: {what} became non-finite at step {step} (epoch {step / job.order.steps_per_epoch:.2f}); lower '
        'the learning rate, warm it up or set optimizer.clip=1.0. '
        + (
            f'The last good checkpoint, step {kept}, is kept.'
            if kept is not None
            else 'No checkpoint was due before it.'
        )
    )


def _load_networks(job: Job, sources: Mapping[str, pathlib.Path]) -> dict[str, Any]:
    loaded = {}
    for network in job.recipe.networks:
        where = f"{job.where}, network '{network.name}'"
        if not network.init:
            if isinstance(network.module, Pretrained):
                loaded[network.name] = network.module.variables
            continue
        shapes = sharding.placed(network, job.mesh, variable_shapes(job, network))
        if network.init.startswith('torch:'):
            path = network.init.removeprefix('torch:')
            loaded[network.name] = torch_weights.load(network, path, shapes, where)
            continue
        run, _, source = network.init.removeprefix('run:').partition('/')
        directory, source = (
            (sources[run], source) if network.init.startswith('run:') else (pathlib.Path(network.init), '')
        )
        loaded[network.name] = load_network(network, directory, source, shapes, where)
    return loaded


def _result(job: Job, state: State, frozen, history: list[dict[str, Any]]) -> dict[str, Any]:
    last = {'step': int(state.step), 'epoch': job.total_steps / max(1, job.order.steps_per_epoch)}
    last |= measure(job, state, frozen, ('train', 'valid', 'test'))
    main = next(iter(job.evaluator.measured), None)
    scored = [row for row in history if row.get('valid')]
    best = max(scored, key=lambda row: row['valid'][main]['accuracy'], default=None)
    if best is not None:
        best = {key: best[key] for key in ('step', 'epoch', 'valid', 'test')}
    return {
        'config': job.config,
        **provenance.of_this_process(),
        'finished': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'parameters': {name: int(sum(a.size for a in jax.tree.leaves(tree))) for name, tree in state.params.items()},
        'steps': job.total_steps,
        'epochs': job.config.get('epochs', 0),
        'examples': {split: len(arrays['id']) for split, arrays in job.splits.arrays.items()},
        'oversampling': job.splits.oversampling,
        'seconds': history[-1]['seconds'] if history else 0.0,
        'last': last,
        'best': best,
        'history': history,
        'analyses': {
            name: _analyse(options, job, steps.variables(state, frozen))
            for name, options in job.config.get('analyses', {}).items()
        },
    }


def _analyse(options: Mapping[str, Any], job: Job, variables) -> Any:
    function = lookup.named(options['analysis'], analyses, 'analysis', job.where)
    positional, keywords = lookup.signature(function)
    paths = tuple(read_paths(options[key], job.where) for key in positional)
    splits = [s for s in options.get('splits', ('valid', 'test')) if s in job.splits.arrays]
    read = {split: job.evaluator.predict(variables, job.splits.arrays[split], paths) for split in splits}
    arguments = [{split: read[split][i] for split in splits} for i in range(len(positional))]
    return function(*arguments, **{key: options[key] for key in keywords if key in options})


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM or SIGINT arrives."""
    seen: list[int] = []
    before = {s: signal.signal(s, lambda number, _: seen.append(number)) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
