"""Where the arrays of networks are placed on the mesh."""

import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kd_jax.core.network import Network
from kd_jax.core.recipe import Recipe
from kd_jax.devices.mesh import replicated
from kd_jax.devices.tensor_axis import TENSOR, axis_to_split

SMALL = 2**12  # elements; splitting a smaller array would cost more time than it saves memory


def variables_sharding(network: Network, mesh: Mesh, shapes: Any) -> Any:
    """The sharding of every array of a network: parameters, collections or optimizer state.

    Stacked copies are split over 'stack' if its size divides their number. The arrays of language models are split over
    'tensor' as their model says (`devices.tensor_axis`). With sharding='fsdp', an array with at least `SMALL` elements
    per copy is split over 'fsdp', along the largest other axis that the size of 'fsdp' divides.

    Args:
      network: the network that owns the arrays.
      mesh: the mesh of devices.
      shapes: a tree of arrays or shapes.
    """

    split = network.tensor_split(mesh.shape[TENSOR])

    def one(path: tuple[Any, ...], array: Any) -> NamedSharding:
        axes: list[str | None] = [None] * len(array.shape)
        own = 1 if network.copies and axes else 0
        if own and array.shape[0] % mesh.shape['stack'] == 0:
            axes[0] = 'stack'
        if (axis := axis_to_split(path, split)) is not None:
            axes[axis] = TENSOR
        able = [i for i in range(own, len(axes)) if axes[i] is None and array.shape[i] % mesh.shape['fsdp'] == 0]
        if network.sharding == 'fsdp' and able and math.prod(array.shape[own:]) >= SMALL:
            axes[max(able, key=lambda i: array.shape[i])] = 'fsdp'
        return NamedSharding(mesh, PartitionSpec(*axes))

    return jax.tree.map_with_path(one, shapes)


def placed_shapes(network: Network, mesh: Mesh, shapes: Any) -> Any:
    """The shapes of a network's arrays with their shardings, for Orbax to restore into."""
    shardings = variables_sharding(network, mesh, shapes)
    return jax.tree.map(lambda a, own: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=own), shapes, shardings)


def state_sharding(recipe: Recipe, mesh: Mesh, state_shapes: Any) -> Any:
    """A `State` of shardings for a state or its shapes; each network is sharded as its own config says."""

    def of(trees: Mapping[str, Any]) -> dict[str, Any]:
        return {name: variables_sharding(recipe.network(name), mesh, tree) for name, tree in trees.items()}

    return state_shapes._replace(
        step=replicated(mesh),
        params=of(state_shapes.params),
        collections=of(state_shapes.collections),
        opt_state=of(state_shapes.opt_state),
        key=replicated(mesh),
    )


def frozen_sharding(recipe: Recipe, mesh: Mesh, frozen_shapes: Mapping[str, Any]) -> dict[str, Any]:
    """The shardings of the variables of the frozen networks."""
    return {name: variables_sharding(recipe.network(name), mesh, tree) for name, tree in frozen_shapes.items()}
