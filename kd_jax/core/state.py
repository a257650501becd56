"""The training state: everything that a step changes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

Tree = Any


Metrics = dict[str, tuple[jax.Array, jax.Array]]


class State(NamedTuple):
    """All that training changes, arrays only: dictionaries are keyed by network."""

    step: jax.Array
    params: dict[str, Tree]
    collections: dict[str, Tree]
    opt_state: dict[str, Tree]
    key: jax.Array


def moving_variables(params: Mapping[str, Tree], collections: Mapping[str, Tree]) -> dict[str, Tree]:
    return {name: {'params': tree, **collections.get(name, {})} for name, tree in params.items()}


def all_variables(state: State, frozen: Mapping[str, Tree]) -> dict[str, Tree]:
    """Every network's variables, to evaluate with."""
    return {**frozen, **moving_variables(state.params, state.collections)}
