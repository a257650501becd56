"""Checks a network on the shapes that it reads: its model runs, returns arrays, and sees images the right way round."""

from typing import Any

import jax
import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.forward import ReturnsNoArrays, forward
from kd_jax.core.network import Network
from kd_jax.core.own_batches import as_trained
from kd_jax.core.paths import Context, check_paths
from kd_jax.core.shape_errors import explain_shape_errors, shown_paths
from kd_jax.core.state import Tree

FEW = (1, 3, 4)  # channels of an image


def check_network(network: Network, context: Context, place: str) -> Tree:
    """Traces a network on shapes and returns the shapes of its activations.

    A model of the user's own is traced in training mode, too, if it is trained.

    Args:
      network: the network.
      context: shapes of everything that it reads.
      place: the network in the config, for messages.
    Raises:
      UserError: it reads a path that does not exist; its model fails, does not return an array or named arrays, or has
        a layer or gives an activation of size 0; or it convolves over images whose channels come first.
    """
    check_paths(network.inputs, context, place)
    read = shown_paths(network.inputs, context)
    try:
        with explain_shape_errors(f'{place} does not take {read}'):
            variables, activations = network_shapes(network, context)
            _trace_training_mode(network, variables, context)
    except ReturnsNoArrays as error:
        raise UserError(f'{place}: {error}.') from error
    for path, array in jax.tree.leaves_with_path(variables):
        if 0 in array.shape:  # some versions of jax refuse that themselves, when they draw the weights
            name = jax.tree_util.keystr(path, simple=True, separator='.')
            raise UserError(f'{place} has weights {name} {list(array.shape)}: a size in its model is 0.')
    for name, array in activations.items():
        if 0 in array.shape:
            raise UserError(f'{place} reads {read} and gives {name} {list(array.shape)}: a size in its model is 0.')
    _check_channels_are_last(network, variables, context, place)
    return activations


def _trace_training_mode(network: Network, variables: Tree, context: Context) -> None:
    if network.optimizer is None or type(network.module).__module__.startswith('kd_jax.'):
        return
    inputs: Any = [context[path.source][path.name] for path in network.inputs]
    now, inputs = as_trained(network, inputs)
    key = jax.random.key(0)
    jax.eval_shape(lambda v, x, k: forward(now, v, x, k, True), variables, inputs, key)


def _check_channels_are_last(network: Network, variables: Tree, context: Context, place: str) -> None:
    """Refuses images [batch, channels, height, width] if the network's convolutions take their width for channels."""
    for path in network.inputs:
        shape = context[path.source][path.name].shape
        if path.source != 'batch' or len(shape) != 4 or shape[1] not in FEW or min(shape[2:]) <= max(FEW):
            continue
        kernels = [a.shape[-4:] for a in jax.tree.leaves(variables) if np.ndim(a) - (network.copies > 0) == 4]
        taken = {kernel[2] for kernel in kernels}
        if shape[3] in taken and shape[1] not in taken:
            raise UserError(
                f"{place}: '{path}' has the shape {list(shape)}, and its convolutions take the last axis for the "
                f'channels. Images are [batch, height, width, channels]: give arrays of '
                f'{[shape[0], shape[2], shape[3], shape[1]]}, for example images.transpose(0, 2, 3, 1).'
            )
