"""Initial variables of a network, and the shapes of its variables and activations."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.core.forward import forward
from kd_jax.core.network import Network, Normalize
from kd_jax.core.own_batches import as_trained
from kd_jax.core.paths import Context
from kd_jax.core.state import Tree


def init_variables(network: Network, inputs: Sequence[Any], key: jax.Array) -> Tree:
    """Makes random variables for a network. Each copy starts from its own key.

    Args:
      network: the network; its name is folded into the key.
      inputs: its inputs, arrays or shapes, [batch, ...]; [copies, batch, ...] where each copy reads its own.
      key: random key of the run.
    Returns:
      'params' and the other collections of the model; with copies, stacked on a leading axis. Of a function of several
      networks, a tuple with those of each.
    """
    stacked = network.stacked or (False,) * len(inputs)
    zeros = [jnp.zeros(a.shape[1:] if own else a.shape, a.dtype) for a, own in zip(inputs, stacked, strict=True)]

    def one(key):
        made = network.module.init({'params': key, 'dropout': key}, *zeros, train=False)
        return tuple({'params': {}, **own} for own in made) if network.several else {'params': {}, **made}

    key = fold_in_name(key, network.name)
    return jax.vmap(one)(jax.random.split(key, network.copies)) if network.copies else one(key)


def network_shapes(network: Network, context: Context, train: bool = True) -> tuple[Tree, Tree]:
    """The shapes of a network's variables and of its activations, found without computing them.

    With `train`, copies with batches of their own read parts of the batch, as in training.
    """
    inputs = [context[path.source][path.name] for path in network.inputs]
    network, inputs = as_trained(network, inputs) if train else (network, inputs)
    shaped = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in inputs)
    if network.several:
        return _shapes(network, shaped)
    return _known_shapes(network.module, network.copies, network.stacked, network.normalize, shaped)


@functools.lru_cache(maxsize=256)
def _known_shapes(
    module: nn.Module,
    copies: int,
    stacked: tuple[bool, ...],
    normalize: Normalize | None,
    inputs: tuple[jax.ShapeDtypeStruct, ...],
) -> tuple[Tree, Tree]:
    return _shapes(Network('', module, (), copies=copies, stacked=stacked, normalize=normalize), inputs)


def _shapes(network: Network, inputs: tuple[jax.ShapeDtypeStruct, ...]) -> tuple[Tree, Tree]:
    key = jax.random.key(0)
    variables = jax.eval_shape(lambda key: init_variables(network, inputs, key), key)
    return variables, jax.eval_shape(lambda v, x, key: forward(network, v, x, key, False)[0], variables, inputs, key)
