"""Compiles the initial state and the chunk program (a scan over training steps) of a run or a group of runs."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.core.initial_state import init_state
from kd_jax.core.placement import frozen_sharding, state_sharding
from kd_jax.core.state import Metrics, State
from kd_jax.core.step import make_train_step
from kd_jax.data.batches import fetch_batch
from kd_jax.devices.convolution_layout import in_fast_layout
from kd_jax.devices.matmul_precision import at_precision
from kd_jax.devices.mesh import batch_sharding, replicated
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.run_options import run_option
from kd_jax.training.stacked_runs import (
    ALONE,
    NOTHING,
    Shared,
    float32_hparams,
    over_runs,
    stack_trees,
    stacked_shardings,
    unstack_tree,
)


def make_initial_state(prepared: PreparedRun, loaded: Mapping[str, Any]) -> tuple[State, dict[str, Any]]:
    """The state before the first step and the variables of frozen networks, placed on the run's mesh."""
    return compile_initial_state(prepared)(prepared.seed, float32_hparams(prepared), loaded)


def compile_initial_state(prepared: PreparedRun) -> Callable[..., tuple[State, dict[str, Any]]]:
    """Compiles `(seed, hparams, loaded) -> state, frozen` once for all runs with the structure of `prepared`."""

    def init(seed, hparams, loaded):
        recipe = dataclasses.replace(prepared.recipe, hparams=hparams)
        return init_state(recipe, prepared.context['batch'], seed, loaded)

    return jax.jit(init, out_shardings=run_shardings(prepared))


def run_shardings(prepared: PreparedRun) -> tuple[State, dict[str, Any]]:
    """The shardings of the state and of the frozen networks on the run's mesh."""
    state, frozen = prepared.initial_shapes
    return state_sharding(prepared.recipe, prepared.mesh, state), frozen_sharding(
        prepared.recipe, prepared.mesh, frozen
    )


def make_chunk_program(
    prepared: PreparedRun, by: str = ALONE, size: int = 1, shared: Shared = NOTHING
) -> Callable[..., tuple[State, Metrics]]:
    """Compiles many training steps as one program: a scan over positions in resident data, or over streamed batches.

    The state and the frozen networks have the shardings of `run_shardings`. Each batch is split over the mesh. Resident
    data is replicated on every device. The program donates the state.

    Args:
      prepared: the run, or one run of the group.
      by: 'vmap' or 'map' for a group of runs, 'alone' for a single run; see `stacked_runs`.
      size: the number of runs. For several runs, every argument except the data and the views has a leading axis of
        runs.
      shared: what the runs have in common; it does not have that axis.
    Returns:
      `(state, hparams, frozen, resident, xs, views) -> state, metrics`; each metric leads with an axis of steps.
    """
    train_step = make_train_step(prepared.recipe, prepared.total_steps, run_option(prepared.config, 'accumulate'))
    of_state, of_frozen = run_shardings(prepared)
    of_state, of_frozen = stacked_shardings(of_state, size), stacked_shardings(of_frozen, size, shared.frozen)
    whole, split = replicated(prepared.mesh), batch_sharding(prepared.mesh)
    by_step = batch_sharding(prepared.mesh, lead=1 if size == 1 or shared.batches else 2)

    def chunk(state: State, hparams, frozen, resident, xs, views, key):
        key = fold_in_name(key, 'augment')

        def body(state, x):
            positions_or_batch, view = x
            batch = positions_or_batch if resident is None else fetch_batch(resident, positions_or_batch, view)
            batch = jax.lax.with_sharding_constraint(batch, split)
            with jax.sharding.use_abstract_mesh(prepared.mesh.abstract_mesh):
                return train_step(state, hparams, frozen, prepared.view(batch, key, view))

        return jax.lax.scan(body, state, (xs, views))

    program = at_precision(over_runs(chunk, by, shared), prepared.matmul_precision, prepared.mesh)
    return jax.jit(
        in_fast_layout(program) if prepared.convolves_on_cpu else program,
        donate_argnums=0,
        in_shardings=(of_state, whole, of_frozen, whole, by_step, whole),
        out_shardings=(of_state, whole),
        compiler_options=dict(prepared.compiler_options),
    )


def stack_states(prepared_runs: Sequence[PreparedRun], states: Sequence[State]) -> State:
    """Stacks the states of a group's runs for its chunk program."""
    return jax.device_put(
        stack_trees(states), stacked_shardings(run_shardings(prepared_runs[0])[0], len(prepared_runs))
    )


def make_unstack(prepared: PreparedRun, size: int) -> Callable[[State], list[State]]:
    """Makes the function that splits a group's stacked state into the states of its runs."""
    of_state = run_shardings(prepared)[0]
    return (
        (lambda state: [state])
        if size == 1
        else jax.jit(functools.partial(unstack_tree, size=size), out_shardings=[of_state] * size)
    )
