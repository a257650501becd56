"""What two runs must have in common to be trained as one program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from kd_jax.prepare.parse_recipe import parse_recipe

OWN = ('analyses', 'networks', 'optimizer', 'terms')


def program_identity(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What two runs must have equal to be one program.

    That is all but seeds, the numbers in `hparams`, where networks start from, and analyses.
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
