"""Averages of the weights of several networks."""

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.config.errors import UserError
from kd_jax.config.hyperparameters import is_number
from kd_jax.config.json_files import flat, json_value
from kd_jax.transforms.network_weights import NetworkWeights


def average_weights(*networks: NetworkWeights, weights: Sequence[float] = ()) -> NetworkWeights:
    """The mean of the weights of several networks of one architecture, a uniform soup.

    Wortsman et al. (2022), "Model soups", section 2: theta = sum_i w_i theta_i with w_i = 1 / n. The networks should
    have started from the same weights; the mean of networks that were trained from different random weights usually
    performs poorly. Batch statistics are averaged like parameters; they are not computed anew for the
    averaged network. Arrays that are not floats are those of the first network.

    Args:
      networks: the networks; their variables have the same names and shapes.
      weights: relative weight of each network, not negative; normalised. () weights all equally.
    Returns:
      the averaged variables, with the options of the first network.
    Raises:
      UserError: the networks differ in model, in the name or shape of a variable, in an option that is a whole number
        or no number, or in one that the model names in `not_in_shapes`; or `weights` does not have one number, 0 or
        more, for each network.
    """
    first = networks[0]
    for other in networks[1:]:
        _check_alike(first, other)
    shares = _shares(weights, len(networks))

    def average(*arrays: jax.Array) -> Any:
        if not jnp.issubdtype(arrays[0].dtype, jnp.floating):
            return arrays[0]
        return functools.reduce(operator.add, [share * array for share, array in zip(shares, arrays, strict=True)])

    return first._replace(variables=jax.tree.map(average, *[network.variables for network in networks]))


def _shares(weights: Sequence[float], count: int) -> list[float]:
    if not isinstance(weights, list | tuple) or not all(
        is_number(w) and not isinstance(w, Mapping) and 0 <= w < math.inf for w in weights
    ):
        raise UserError(f'weights is {weights!r}, but it must be a tuple of numbers, 0 or more.')
    if weights and (len(weights) != count or not sum(weights)):
        raise UserError(f'weights is {tuple(weights)}, but it must have {count} numbers, not all 0: one per network.')
    given = weights or [1.0] * count
    return [weight / sum(given) for weight in given]


def _check_alike(first: NetworkWeights, other: NetworkWeights) -> None:
    """Raises a UserError if the networks differ in more than the values of arrays and of numbers such as dropout."""
    both = (first, other)
    shapes = [{key: tuple(a.shape) for key, a in flat(network.variables).items()} for network in both]
    settings = [json_value(network.settings) for network in both]
    options = [{k: v for k, v in json_value(network.options).items() if k not in settings[0]} for network in both]
    for there, here in (shapes, settings, options):
        for key in [key for key in {**there, **here} if there.get(key) != here.get(key)]:
            values = [own[key] for own in (there, here) if key in own]
            whole = all(type(value) is int for value in values) and len(values) == 2
            if there is options[0] and all(map(is_number, values)) and not whole:
                continue
            raise UserError(
                f'the networks to average must be alike, but {key} is {there.get(key, "missing")} in {first.origin} '
                f'and {here.get(key, "missing")} in {other.origin}.'
            )
