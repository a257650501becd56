"""The training state: everything that a step changes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

Tree = Any
NUMBERS = '.numbers'  # among variables by network; no network has a dot in its name
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


def all_variables(state: State, frozen: Mapping[str, Tree], numbers: Mapping[str, Tree]) -> dict[str, Tree]:
    """The variables of all networks, frozen ones included, by network; for evaluation.

    `numbers` are those numbers of networks that are schedules, at this step (see `forward.network_numbers`). They are
    kept beside the variables, under the key `NUMBERS`, if there are any.
    """
    variables = {**frozen, **moving_variables(state.params, state.collections)}
    return {**variables, NUMBERS: numbers} if numbers else variables
