"""Converts between our variables and PyTorch's names and layouts."""

from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.core.inherited_weights import check_finite, check_fresh, without_fresh
from kd_jax.core.network import Network
from kd_jax.interop.pytorch_files import read_pytorch_file

LEAVES = {'kernel': 'weight', 'scale': 'weight', 'embedding': 'weight', 'mean': 'running_mean', 'var': 'running_var'}
TO_TORCH = {2: (1, 0), 4: (3, 2, 0, 1)}
FROM_TORCH = {2: (1, 0), 4: (2, 3, 1, 0)}
SHOWN = 12


def pytorch_names(module: Any, variables: Any) -> dict[tuple[str, ...], str]:
    """Returns PyTorch's name for each variable of a module, by its path ('params', ..., 'kernel')."""
    rename = getattr(module, 'torch_name', lambda name: name)
    paths = flax.traverse_util.flatten_dict(variables)
    return {path: '.'.join([rename('.'.join(path[1:-1])), LEAVES.get(path[-1], path[-1])]) for path in paths}


def to_torch(module: Any, variables: Any) -> dict[str, Any]:
    """Converts variables of a module (NumPy or JAX arrays) to a flat PyTorch state_dict."""
    flat, named = flax.traverse_util.flatten_dict(variables), pytorch_names(module, variables)
    return {named[path]: _transposed(path, array, TO_TORCH) for path, array in flat.items()}


def from_torch(module: Any, state: Mapping[str, Any], shapes: Any) -> dict[str, Any]:
    """Converts a flat PyTorch state_dict to variables with the structure and dtypes of `shapes`."""
    flat, named = flax.traverse_util.flatten_dict(shapes), pytorch_names(module, shapes)
    return flax.traverse_util.unflatten_dict(
        {path: _transposed(path, state[named[path]], FROM_TORCH).astype(a.dtype) for path, a in flat.items()}
    )


def _transposed(path: tuple[str, ...], array: Any, axes: Mapping[int, tuple[int, ...]]) -> Any:
    return array.transpose(axes[array.ndim]) if path[-1] == 'kernel' and array.ndim in axes else array


def load_pytorch_weights(network: Network, path: str, shapes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Loads variables of a network from a PyTorch file, except those of its `fresh` modules.

    Args:
      network: the network to load.
      path: path of a .safetensors, .pth or .pt file; see `pytorch_files.read_pytorch_file`.
      shapes: the variables of the network's model, as arrays or shapes.
      where: place in the config, for messages.
    Raises:
      UserError: as for `read_pytorch_file`; keys are missing or unknown to the model; shapes differ; weights are NaN or
        infinite; or the network has copies.
    """
    if network.copies:
        raise UserError(
            f'{where}: {path} holds one network; set copies=0, or use several networks, each with its own file.'
        )
    state = read_pytorch_file(path, where)
    state = {name: array for name, array in state.items() if not name.endswith('num_batches_tracked')}
    check_fresh(network, shapes, where)
    wanted = without_fresh(shapes, network)
    named, flat = pytorch_names(network.module, shapes), flax.traverse_util.flatten_dict(wanted)
    unexpected = sorted(set(state) - set(named.values()))
    missing = sorted({named[path] for path in flat} - set(state))
    if unexpected or missing:
        parts = [f'keys {listed(unexpected)} that this model does not have'] if unexpected else []
        parts += [f'no {listed(missing)}'] if missing else []
        raise UserError(f'{where}: {path} has {" and ".join(parts)}; choose the model that the file was saved from.')
    for path_here, array in flat.items():
        axes = TO_TORCH.get(len(array.shape)) if path_here[-1] == 'kernel' else None
        here = tuple(array.shape[i] for i in axes or range(len(array.shape)))
        there = state[named[path_here]].shape
        if there != here:
            raise UserError(
                f'{where} does not fit {path}: {named[path_here]} has shape {there} in the file, {here} in this model; '
                'choose the model that the file was saved from.'
            )
    with np.errstate(over='ignore'):  # a number beyond float32 becomes infinite, and is refused next
        variables = from_torch(network.module, state, wanted)
    check_finite({named[at]: a for at, a in flax.traverse_util.flatten_dict(variables).items()}, where, path)
    return variables


def listed(keys: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    rest = f' and {len(keys) - SHOWN} more' if len(keys) > SHOWN else ''
    return ', '.join(keys[:SHOWN]) + rest
