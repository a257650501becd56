"""The mesh of devices, and how batches are sharded over it.

What depends only on shapes also works for devices that are described but not present (`jax.experimental.topologies`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kd_jax.config.errors import UserError, suggest
from kd_jax.devices.tensor_axis import TENSOR

AXES = ('data', 'fsdp', 'stack', TENSOR)
BATCH_AXES = ('data', 'fsdp')


def make_mesh(config: Mapping[str, int], devices: Sequence[Any], where: str) -> Mesh:
    """Makes a mesh of `devices` with the axes 'data', 'fsdp', 'stack' and 'tensor'.

    Args:
      config: the number of devices on each axis; -1 means all remaining devices. An axis that is not given has size 1,
        except 'data', which takes all remaining devices unless another axis does. If the sizes ask for fewer devices
        than there are, a single process uses the first devices.
      devices: real devices, or the devices of a topology.
      where: the place in the config, for messages.
    Raises:
      UserError: an axis is unknown, a size is invalid, the sizes exceed or do not divide the number of devices, or some
        processes would have no work.
    """
    for axis, size in config.items():
        if axis not in AXES:
            raise UserError(f'{where}.mesh: there is no axis {axis!r}. {suggest(axis, AXES)}')
        if not isinstance(size, int) or isinstance(size, bool) or (size < 1 and size != -1):
            raise UserError(f'{where}.mesh.{axis} is {size!r}, but it must be a number of devices, or -1 for the rest.')
    sizes = {axis: config.get(axis, 1) for axis in AXES}
    if 'data' not in config and -1 not in sizes.values():
        sizes['data'] = -1
    shown = ', '.join(f'{axis}={size}' for axis, size in sizes.items())
    if list(sizes.values()).count(-1) > 1:
        raise UserError(f'{where}.mesh: only one axis can take all remaining devices ({shown}).')
    given = math.prod(size for size in sizes.values() if size != -1)
    if given > len(devices) or (-1 in sizes.values() and len(devices) % given):
        raise UserError(
            f'{where}.mesh ({shown}) does not fit {_devices(len(devices))}: choose sizes whose product divides that.'
        )
    sizes = {axis: len(devices) // given if size == -1 else size for axis, size in sizes.items()}
    count = math.prod(sizes.values())
    if count < len(devices) and len({device.process_index for device in devices}) > 1:
        raise UserError(
            f'{where}.mesh ({shown}) uses {count} of {_devices(len(devices))}, but with several processes it must '
            'use all of them: set one axis to -1.'
        )
    kinds = (AxisType.Auto,) * len(AXES)
    if count == len(devices):
        shape = tuple(sizes.values())
        try:
            return jax.make_mesh(shape, AXES, axis_types=kinds, devices=devices)
        except NotImplementedError:  # an axis that is only a part of an axis of the torus, such as 4 chips of 8 x 8
            placed = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
            return Mesh(placed, AXES, axis_types=kinds)
    return Mesh(np.reshape(np.array(devices[:count]), tuple(sizes.values())), AXES, axis_types=kinds)


def batch_parts(mesh: Mesh) -> int:
    """The number of parts into which the mesh splits a batch."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch_size(mesh: Mesh, batch_size: int, where: str, accumulate: int = 1) -> None:
    """Raises a UserError if the devices cannot share each of `accumulate` parts of the batch evenly."""
    parts = batch_parts(mesh)
    if accumulate > 1 and batch_size % (parts * accumulate):
        shared = f' that {parts} devices can share' if parts > 1 else ''
        raise UserError(
            f'{where}: batch_size is {batch_size}; accumulate={accumulate} cannot cut it into equal parts{shared}: '
            f'use batch_size={batch_size + -batch_size % (parts * accumulate)}, or an accumulate that divides '
            f'{batch_size // parts}.'
        )
    if batch_size % parts:
        near = f'batch_size={batch_size - batch_size % parts} or ' if batch_size > parts else ''
        raise UserError(
            f'{where}: batch_size is {batch_size}, which the {parts} devices of the mesh (data={mesh.shape["data"]}, '
            f'fsdp={mesh.shape["fsdp"]}) cannot share evenly: use {near}batch_size={batch_size + -batch_size % parts}, '
            f'or a mesh that divides it, such as mesh.data={math.gcd(batch_size, parts)}.'
        )


def _devices(count: int) -> str:
    return f'{count} devices' if count != 1 else '1 device'


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array of which every device holds a full copy."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, lead: int = 0) -> NamedSharding:
    """The sharding of arrays of a batch: examples are split over 'data' and 'fsdp' together.

    Args:
      mesh: the mesh of devices.
      lead: number of axes before the axis of examples, for example 1 for an axis of steps.
    """
    return NamedSharding(mesh, PartitionSpec(*[None] * lead, BATCH_AXES))


def split_examples(tree: Any) -> Any:
    """Splits arrays [examples, ...] over 'data' and 'fsdp', as batches are. Does nothing if no mesh is in context."""
    if jax.sharding.get_abstract_mesh().empty:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(BATCH_AXES))


def replicate_arrays(mesh: Mesh, tree: Any) -> Any:
    """Copies arrays, of which every process holds all, to every device of the mesh."""
    whole = replicated(mesh)
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(whole, array, array.shape), tree)


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """The sorted positions of those examples of a batch that this process supplies, because its devices hold them."""
    held = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in held]))


def place_batch(sharding: NamedSharding, local: Any, batch_size: int) -> Any:
    """Makes the global arrays of a batch from the examples that this process supplies.

    Args:
      sharding: from `batch_sharding(mesh, lead)`.
      local: a tree of NumPy arrays with the examples of `local_rows` on the axis that follows `lead` axes.
      batch_size: number of examples of all processes together.
    Returns:
      the same tree of global arrays, with `batch_size` examples.
    """
    lead = len(sharding.spec) - 1

    def one(array: np.ndarray) -> jax.Array:
        shape = (*array.shape[:lead], batch_size, *array.shape[lead + 1 :])
        return jax.make_array_from_process_local_data(sharding, array, shape)

    return jax.tree.map(one, local)
