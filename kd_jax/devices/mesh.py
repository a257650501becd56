"""The mesh of devices, and the sharding of batches over it.

Pure functions of shapes, so they also work for devices that are only described (`jax.experimental.topologies`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from kd_jax.config.errors import UserError, suggest

AXES = ('data', 'fsdp', 'stack')


BATCH_AXES = ('data', 'fsdp')


def make_mesh(config: Mapping[str, int], devices: Sequence[Any], where: str) -> Mesh:
    """The mesh of `devices` with the axes 'data', 'fsdp' and 'stack'.

    Args:
      config: how many devices each axis has, -1 for all that are left. Without 'data' that is what it gets, unless
        another axis does; the others are 1. Of sizes that are all given, a single process takes the first devices.
      devices: real ones, or those of a topology.
      where: the place in the config, for messages.
    Raises:
      UserError: an unknown axis, a size that is none, sizes that do not divide the devices or exceed them, or some
        processes would be left without work.
    """
    for axis, size in config.items():
        if axis not in AXES:
            raise UserError(f'{where}.mesh: there is no axis {axis!r}. {suggest(axis, AXES)}')
        if not isinstance(size, int) or isinstance(size, bool) or (size < 1 and size != -1):
            raise UserError(f'{where}.mesh.{axis} is {size!r}; it is a number of devices, or -1 for all that are left.')
    sizes = {axis: config.get(axis, 1) for axis in AXES}
    if 'data' not in config and -1 not in sizes.values():
        sizes['data'] = -1
    shown = ', '.join(f'{axis}={size}' for axis, size in sizes.items())
    if list(sizes.values()).count(-1) > 1:
        raise UserError(f'{where}.mesh: only one axis can take all devices that are left, not two ({shown}).')
    given = math.prod(size for size in sizes.values() if size != -1)
    if given > len(devices) or (-1 in sizes.values() and len(devices) % given):
        raise UserError(
            f'{where}.mesh ({shown}) does not fit {_devices(len(devices))}: choose sizes whose product divides it.'
        )
    sizes = {axis: len(devices) // given if size == -1 else size for axis, size in sizes.items()}
    count = math.prod(sizes.values())
    if count < len(devices) and len({device.process_index for device in devices}) > 1:
        raise UserError(
            f'{where}.mesh ({shown}) takes {count} of {_devices(len(devices))}, but with several processes it must '
            'take all of them: set one axis to -1.'
        )
    kinds = (AxisType.Auto,) * len(AXES)
    if count == len(devices):
        return jax.make_mesh(tuple(sizes.values()), AXES, axis_types=kinds, devices=devices)
    return Mesh(np.reshape(np.array(devices[:count]), tuple(sizes.values())), AXES, axis_types=kinds)


def batch_parts(mesh: Mesh) -> int:
    """How many parts a batch is cut into."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch_size(mesh: Mesh, batch_size: int, where: str) -> None:
    """Raises a UserError if the devices that share a batch cannot have equal parts of it."""
    parts = batch_parts(mesh)
    if batch_size % parts:
        near = f'batch_size={batch_size - batch_size % parts} or ' if batch_size > parts else ''
        raise UserError(
            f'{where}: batch_size is {batch_size}, which the {parts} devices of the mesh (data={mesh.shape["data"]}, '
            f'fsdp={mesh.shape["fsdp"]}) cannot share evenly: use {near}batch_size={batch_size + -batch_size % parts}, '
            f'or a mesh that divides it, as mesh.data={math.gcd(batch_size, parts)}.'
        )


def _devices(count: int) -> str:
    return f'{count} devices' if count != 1 else '1 device'


def replicated(mesh: Mesh) -> NamedSharding:
    """An array that every device has whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, lead: int = 0) -> NamedSharding:
    """Arrays of a batch: examples split over 'data' and 'fsdp' together, after `lead` axes (of steps, say)."""
    return NamedSharding(mesh, PartitionSpec(*[None] * lead, BATCH_AXES))


def gather_parameters(tree: Any) -> Any:
    """Parameters under 'fsdp' as their network runs: whole on every device of the mesh in context, if there is one.

    Left to itself the compiler may gather the batch instead, and then each device would hold all its activations.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def replicate_arrays(mesh: Mesh, tree: Any) -> Any:
    """Arrays that every process has whole, whole on every device."""
    whole = replicated(mesh)
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(whole, array, array.shape), tree)


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Which examples of a batch this process has to supply, in order: those that its devices hold."""
    held = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in held]))


def place_batch(sharding: NamedSharding, local: Any, batch_size: int) -> Any:
    """Global arrays from this process's part of each, cut along the axis of examples as `local_rows` says.

    Args:
      sharding: `batch_sharding(mesh, lead)`.
      local: a tree of NumPy arrays [..., rows of this process, ...], examples after `lead` axes.
      batch_size: of all processes together.
    """
    lead = len(sharding.spec) - 1

    def one(array: np.ndarray) -> jax.Array:
        shape = (*array.shape[:lead], batch_size, *array.shape[lead + 1 :])
        return jax.make_array_from_process_local_data(sharding, array, shape)

    return jax.tree.map(one, local)
