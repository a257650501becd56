"""Refuses a run whose arrays cannot fit the memory of its devices, before any of them is allocated."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from kd_jax.config.errors import UserError
from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.initial_state import frozen_variables, init_optimizer
from kd_jax.core.network import Network
from kd_jax.core.paths import Context
from kd_jax.core.placement import variables_sharding
from kd_jax.core.recipe import Recipe
from kd_jax.devices.memory import device_bytes
from kd_jax.devices.mesh import batch_parts
from kd_jax.prepare.prepared_run import PreparedRun

ABSURD = 4  # an activation may be this many times too large, because a compiled program need not hold it whole
STATES = 3  # no optimizer here keeps more than two arrays for each parameter


def check_memory(prepared: PreparedRun) -> None:
    """Checks the memory of a run that is to be trained on this machine, as `check_bytes` does."""
    check_bytes(prepared.recipe, prepared.context, prepared.mesh, prepared.where)


def check_bytes(recipe: Recipe, context: Context, mesh: Mesh, where: str) -> None:
    """Refuses a run whose variables and optimizer state exceed the memory of a device, or an activation by far.

    This is a lower bound: gradients, the other activations and the data need memory, too. `scale.preflight` gives the
    memory that the compiled program needs.

    Args:
      recipe: the recipe of the run.
      context: shapes of everything that a path can read, from `check_recipe`.
      mesh: the devices of the run.
      where: the place in the config, for messages.
    Raises:
      UserError: the arrays cannot fit; the message has both sizes. If the memory is not known, nothing is checked.
    """
    limit = device_bytes(mesh)
    if limit is None:
        return
    own = {network.name: network_shapes(network, context)[0] for network in recipe.owners}
    for network in recipe.frozen:
        own[network.name] = jax.eval_shape(functools.partial(frozen_variables, network), own[network.name])
    sizes = {n.name: _bytes_on_a_device(n, own[n.name], mesh) for n in recipe.owners}
    if STATES * sum(sizes.values()) > limit:
        for network in recipe.trained:
            init = functools.partial(init_optimizer, network, hparams=recipe.hparams)
            state = jax.eval_shape(init, own[network.name]['params'])
            sizes[network.name] += _bytes_on_a_device(network, state, mesh)
    if sum(sizes.values()) > limit:
        name, whole = max(sizes, key=lambda name: sizes[name]), sum(sizes.values())
        raise UserError(
            f'{where}: the parameters of its networks and the state of their optimizers need {_shown(whole)} on each '
            f"device, '{name}' alone {_shown(sizes[name])}, but a device has {_shown(limit)}; make the networks "
            'smaller, or split them over more devices.'
        )
    for source, arrays in context.items():
        for key, array in arrays.items():
            size = _bytes(array.shape, array.dtype) // batch_parts(mesh)
            if size > ABSURD * limit:
                raise UserError(
                    f"{where}: '{source}.{key}' of one batch has shape {list(array.shape)} and needs {_shown(size)} on "
                    f'each device, but a device has {_shown(limit)}; make the network, the image or batch_size smaller.'
                )


def _bytes_on_a_device(network: Network, shapes: Any, mesh: Mesh) -> int:
    placed = jax.tree.map(
        lambda array, own: _bytes(own.shard_shape(array.shape), array.dtype),
        shapes,
        variables_sharding(network, mesh, shapes),
    )
    return sum(jax.tree.leaves(placed))


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return 0 if jnp.issubdtype(dtype, jax.dtypes.extended) else math.prod(shape) * dtype.itemsize


def _shown(size: int) -> str:
    return f'{size / 2**30:,.1f} GiB'
