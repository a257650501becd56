"""Transforms that a user might write."""

import jax.numpy as jnp
import numpy as np


def first_units(network, *, keep: int):
    """Keeps the first units of the hidden layer; the shapes follow from the option."""
    return _with_units(network, np.arange(keep))


def strongest_units(network):
    """Keeps the units whose incoming weights are stronger than average; the shapes follow from the weights."""
    norms = jnp.linalg.norm(network.variables['params']['dense1']['kernel'], axis=0)
    return _with_units(network, jnp.flatnonzero(norms > norms.mean()))


def of_another_size(network):
    """Names a model that its weights do not fit."""
    return network._replace(options={**network.options, 'hidden': (5,)})


def no_network(network):
    return network.variables


def _with_units(network, chosen):
    params = network.variables['params']
    kept = {
        'dense1': {'kernel': params['dense1']['kernel'][:, chosen], 'bias': params['dense1']['bias'][chosen]},
        'head': {'kernel': params['head']['kernel'][chosen], 'bias': params['head']['bias']},
    }
    return network._replace(variables={'params': kept}, options={**network.options, 'hidden': (len(chosen),)})
