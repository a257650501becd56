"""What two runs must have in common to be trained as one program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from kd_jax.prepare.parse_recipe import parse_recipe

OWN = ('analyses', 'networks', 'optimizer', 'terms')


def program_identity(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The parts of a config that must be equal in two runs, so that one program can train both.

    The runs may differ in their seeds, in the values of the numbers in `hparams`, in the weights that networks load
    (`init`) and in their analyses.
    """
    recipe = parse_recipe(config, where)

    def fields(thing: Any) -> dict[str, Any]:
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}

    networks = [
        {**fields(n), 'init': bool(n.init), 'optimizer': n.optimizer and fields(n.optimizer)} for n in recipe.networks
    ]
    rest = {key: value for key, value in config.items() if key not in OWN}
    numbers = jax.tree.structure(recipe.hparams)
    return {'config': rest, 'networks': networks, 'terms': [fields(t) for t in recipe.terms], 'numbers': numbers}
