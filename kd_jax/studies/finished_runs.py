"""Loads the trained networks of finished runs."""

import pathlib
from typing import Any

import jax

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.references import LAST
from kd_jax.core.network import Network
from kd_jax.core.placement import placed_shapes
from kd_jax.core.recipe import Recipe
from kd_jax.prepare.prepared_run import PreparedRun, variable_shapes
from kd_jax.training.initial_weights import load_from_checkpoint


def trained_network(recipe: Recipe, name: str, where: str) -> Network:
    """The network of that name whose variables are in the run's checkpoints, or the only one for ''.

    Raises:
      UserError: there is no such network, or there are several and `name` is ''.
    """
    known = {network.name: network for network in recipe.moving}
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        what = f'there is no trained network {name!r}' if name else f'choose one of the {len(known)} trained networks'
        raise UserError(f'{where}: {what}. {suggest(name, known)}')
    return known[name]


def exportable_network(prepared: PreparedRun, name: str, step: int) -> Network:
    """The trained network of that name, or the only one for '', with its numbers as they are after `step` steps.

    Raises:
      UserError: there is no such network, it has copies, or it reads the output of another network.
    """
    network = trained_network(prepared.recipe, name, prepared.where)
    if network.copies or any(path.source != 'batch' for path in network.inputs):
        reason = 'has copies' if network.copies else f'reads {", ".join(map(str, network.inputs))}'
        raise UserError(
            f"{prepared.where}, network '{network.name}' {reason}; only a single network that reads the batch can be "
            'exported.'
        )
    return network.at(jax.tree.map(float, prepared.numbers_after(step)))


def load_trained(
    prepared: PreparedRun, network: Network, directory: pathlib.Path, checkpoint: str = LAST
) -> dict[str, Any]:
    """Loads the network's variables from the last or the best checkpoint of its run."""
    shapes = placed_shapes(network, prepared.mesh, variable_shapes(prepared, network))
    where = f"{prepared.where}, network '{network.name}'"
    return jax.device_get(load_from_checkpoint(network, directory, network.name, shapes, where, checkpoint))
