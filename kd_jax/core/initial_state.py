"""Makes the training state before the first step."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.core.activation_shapes import init_variables
from kd_jax.core.check_recipe import check_recipe
from kd_jax.core.follow import start_values
from kd_jax.core.forward import cast, network_numbers
from kd_jax.core.network import Network
from kd_jax.core.optimizers import make_transformation
from kd_jax.core.own_batches import as_trained
from kd_jax.core.recipe import Recipe
from kd_jax.core.state import State, Tree


def init_state(
    recipe: Recipe, batch: Mapping[str, Any], seed: int, loaded: Mapping[str, Tree] | None = None
) -> tuple[State, dict[str, Tree]]:
    """Makes the state before the first step, and the variables of the frozen networks.

    Args:
      recipe: what will be trained.
      batch: arrays of a batch or their shapes, as the step will see them.
      seed: seed of the initial parameters and of all randomness in the step.
      loaded: variables by network that replace random ones (see `training.initial_weights`).
    Raises:
      UserError: as in `check_recipe`.
    """
    context = check_recipe(recipe, batch)
    key = jax.random.key(seed)
    numbers = network_numbers(recipe, recipe.hparams, jnp.zeros(()))
    owners = [
        as_trained(network.at(numbers), [context[path.source][path.name] for path in network.inputs])
        for network in recipe.owners
    ]
    every = jax.jit(lambda key: {n.name: init_variables(n, inputs, key) for n, inputs in owners})(key)
    for name, tree in (loaded or {}).items():
        every[name] = {part: {**own, **tree.get(part, {})} for part, own in every[name].items()}
    for network in recipe.following:
        assert network.follow is not None
        name, (of,), known = network.name, network.of, loaded or {}
        every[name], every[of] = start_values(network.follow, every[of], every[name], name in known, of in known)
    frozen = {network.name: frozen_variables(network, every.pop(network.name)) for network in recipe.frozen}
    params = {name: tree['params'] for name, tree in every.items()}
    collections = {name: {k: v for k, v in tree.items() if k != 'params'} for name, tree in every.items()}
    opt_state = {n.name: init_optimizer(n, params[n.name], recipe.hparams) for n in recipe.trained}
    return State(jnp.zeros((), jnp.int32), params, collections, opt_state, fold_in_name(key, 'train')), frozen


def frozen_variables(network: Network, variables: Tree) -> Tree:
    """The variables of a frozen network as they are kept: its parameters in the precision in which it computes.

    Nothing changes them, so rounding them once gives the same numbers as rounding them in every step.
    """
    params = variables.get('params', {})
    return {**variables, 'params': cast(params, network.compute_dtype)} if params else variables


def init_optimizer(network: Network, params: Tree, hparams: Mapping[str, Any]) -> Any:
    """The state of a trained network's optimizer before the first step."""
    assert network.optimizer is not None
    numbers = hparams['optimizers'][network.name]
    transformation = make_transformation(network.optimizer, numbers, jnp.zeros(()), network.layer_stacks)
    return (jax.vmap(transformation.init) if network.copies else transformation.init)(params)
