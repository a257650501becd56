"""Transforms: pure functions from the weights of trained networks to the weights of a new network.

The name of a function here is its name in a config, `transform=dict(name='average_weights', of=[...])`. Its positional
parameters are the networks that `of` names, as `NetworkWeights`; its keyword-only parameters are options. It returns
the new network as `NetworkWeights`: the variables, and the options of the model that they fit. A mistake of the user is
a `UserError`.
"""

from kd_jax.transforms.weight_averaging import average_weights

__all__ = ['average_weights']
