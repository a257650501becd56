"""The training state: everything that a step changes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

Tree = Any


Metrics = dict[str, tuple[jax.Array, jax.Array]]


class State(NamedTuple):
    """Everything that training changes. All leaves are arrays, and all of them are in checkpoints.

    Attributes:
      step: number of steps done, a scalar.
      params: parameters by network.
      collections: other variables, such as batch statistics, by network.
      opt_state: state of the optimizer by trained network.
      key: random key of the run; it does not change.
    """

    step: jax.Array
    params: dict[str, Tree]
    collections: dict[str, Tree]
    opt_state: dict[str, Tree]
    key: jax.Array


def moving_variables(params: Mapping[str, Tree], collections: Mapping[str, Tree]) -> dict[str, Tree]:
    """The variables of the networks in a state, by network."""
    return {name: {'params': tree, **collections.get(name, {})} for name, tree in params.items()}


def all_variables(state: State, frozen: Mapping[str, Tree]) -> dict[str, Tree]:
    """The variables of all networks, frozen ones included, by network; for evaluation."""
    return {**frozen, **moving_variables(state.params, state.collections)}
