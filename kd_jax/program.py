"""The compiled program of a run, or of a pack of runs, and what it starts from."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax import initialize, packs, sharding, torch_weights
from kd_jax import step as steps
from kd_jax.checkpoint import load_network
from kd_jax.data import pipeline
from kd_jax.job import Job, variable_shapes
from kd_jax.models.adapters import Pretrained
from kd_jax.network import Network
from kd_jax.step import State


def load_networks(job: Job, sources: Mapping[str, pathlib.Path], known: dict[Any, Any] | None = None) -> dict[str, Any]:
    """Variables of the networks that start from a checkpoint or a file, by name.

    Args:
      job: of the run.
      sources: run name -> directory.
      known: what was read before, which is not read again; added to.
    Raises:
      UserError: as `checkpoint.load_network` and `torch_weights.load`.
    """
    known = {} if known is None else known
    loaded = {}
    for network in job.recipe.owners:
        if not network.init and not isinstance(network.module, Pretrained):
            continue
        run, _, source = network.init.removeprefix('run:').partition('/')
        origin = (sources[run], source) if network.init.startswith('run:') else (network.init, '')
        if (network.name, *origin) not in known:
            known[network.name, *origin] = _load_network(job, network, *origin)
        loaded[network.name] = known[network.name, *origin]
    return loaded


def _load_network(job: Job, network: Network, origin: str | pathlib.Path, source: str) -> Mapping[str, Any]:
    where = f"{job.where}, network '{network.name}'"
    if not network.init:
        return network.module.variables
    shapes = sharding.placed(network, job.mesh, variable_shapes(job, network))
    if network.init.startswith('torch:'):
        return torch_weights.load(network, network.init.removeprefix('torch:'), shapes, where)
    return load_network(network, pathlib.Path(origin), source, shapes, where)


def start(job: Job, loaded: Mapping[str, Any]) -> tuple[State, dict[str, Any]]:
    """The state before the first step and the frozen networks, made where they will live on the run's mesh."""
    return make_start(job)(job.seed, packs.numbers(job), loaded)


def make_start(job: Job) -> Callable[..., tuple[State, dict[str, Any]]]:
    """`(seed, hparams, loaded) -> state, frozen` for every run of the job's structure, compiled once."""

    def init(seed, hparams, loaded):
        recipe = dataclasses.replace(job.recipe, hparams=hparams)
        return initialize.init_state(recipe, job.context['batch'], seed, loaded)

    return jax.jit(init, out_shardings=shardings(job))


def shardings(job: Job) -> tuple[State, dict[str, Any]]:
    """Where the state and the frozen networks live on the run's mesh."""
    state, frozen = jax.eval_shape(lambda: initialize.init_state(job.recipe, job.context['batch'], job.seed))
    return sharding.state_sharding(job.recipe, job.mesh, state), sharding.frozen_sharding(job.recipe, job.mesh, frozen)


def make_run_chunk(
    job: Job, by: str = packs.ALONE, size: int = 1, shared: packs.Shared = packs.NOTHING
) -> Callable[..., tuple[State, steps.Metrics]]:
    """Many training steps as one program: a scan over positions of device-resident data, or over streamed batches.

    The state and the frozen networks stay where `start` puts them, each batch is split over the mesh, and resident data
    is whole on every device.

    Args:
      job: of the run, or of one of the pack.
      by: the way over the runs of a pack, see `packs`.
      size: how many runs there are; of several, all arguments but data and views lead with an axis of runs.
      shared: what the runs have in common, without that axis.
    """
    train_step = steps.make_train_step(job.recipe, job.total_steps)
    of_state, of_frozen = shardings(job)
    of_state, of_frozen = packs.shardings(of_state, size), packs.shardings(of_frozen, size, shared.frozen)
    whole, split = sharding.replicated(job.mesh), sharding.batch_sharding(job.mesh)
    by_step = sharding.batch_sharding(job.mesh, lead=1 if size == 1 or shared.batches else 2)

    def chunk(state: State, hparams, frozen, resident, xs, views, key):
        key = steps.fold_in_name(key, 'augment')

        def body(state, x):
            positions_or_batch, view = x
            batch = positions_or_batch if resident is None else pipeline.fetch(resident, positions_or_batch, view)
            batch = jax.lax.with_sharding_constraint(batch, split)
            with jax.sharding.use_abstract_mesh(job.mesh.abstract_mesh):
                return train_step(state, hparams, frozen, job.view(batch, key, view))

        if not job.convolves_on_cpu:
            return jax.lax.scan(body, state, (xs, views))
        measured = []
        for step in range(len(views)):
            state, own = body(state, jax.tree.map(lambda array, step=step: array[step], (xs, views)))
            measured.append(own)
        return state, jax.tree.map(lambda *own: jnp.stack(own), *measured)

    return jax.jit(
        packs.over_runs(chunk, by, shared),
        donate_argnums=0,
        in_shardings=(of_state, whole, of_frozen, whole, by_step, whole),
        out_shardings=(of_state, whole),
    )


def stack_states(jobs: Sequence[Job], states: Sequence[State]) -> State:
    """The states of a pack's runs as its program takes them."""
    return jax.device_put(packs.stacked(states), packs.shardings(shardings(jobs[0])[0], len(jobs)))


def make_unstack(job: Job, size: int) -> Callable[[State], list[State]]:
    """The states of the runs of a pack, each as a run alone has it."""
    of_state = shardings(job)[0]
    return (
        (lambda state: [state])
        if size == 1
        else jax.jit(functools.partial(packs.parts, size=size), out_shardings=[of_state] * size)
    )
