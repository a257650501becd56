"""Loads the trained networks of finished runs."""

import dataclasses
import pathlib
from typing import Any

import jax

from kd_jax.config.references import LAST
from kd_jax.core.network import Network
from kd_jax.core.placement import placed_shapes
from kd_jax.prepare.prepared_run import PreparedRun, variable_shapes
from kd_jax.training.initial_weights import load_from_checkpoint


def load_trained(
    prepared: PreparedRun, network: Network, directory: pathlib.Path, checkpoint: str = LAST
) -> dict[str, Any]:
    """Loads the network's variables from the last or the best checkpoint of its run."""
    network = dataclasses.replace(network, fresh=(), part=(), init_layers=())  # they say what it started from
    shapes = placed_shapes(network, prepared.mesh, variable_shapes(prepared, network))
    where = f"{prepared.where}, network '{network.name}'"
    return jax.device_get(load_from_checkpoint(network, directory, network.name, shapes, where, checkpoint))
