"""What two runs must have in common to be trained as one program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from kd_jax.core.network import Network
from kd_jax.prepare.parse_recipe import parse_recipe

OWN = ('analyses', 'networks', 'optimizer', 'samples', 'seeds', 'terms')


def program_identity(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The parts of a config that must be equal in two runs, so that one program can train both.

    The runs may differ in their seeds and the number of these, in the values of the numbers in `hparams`, in the
    weights that networks load (`init`), and in their analyses and samples.
    """
    recipe = parse_recipe(config, where)

    def fields(thing: Any) -> dict[str, Any]:
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}

    def of(network: Network) -> dict[str, Any]:
        # A module with schedules holds their values at the start of the run, which are not part of the program.
        made = {'module': None} if network.schedules else {'model': None}
        own = {'init': bool(network.init), 'optimizer': network.optimizer and fields(network.optimizer)}
        return {**fields(network), **own, **made, 'sources': [source.name for source in network.sources]}

    networks = [of(network) for network in recipe.networks]
    rest = {key: value for key, value in config.items() if key not in OWN}
    numbers = jax.tree.structure(recipe.hparams)
    return {'config': rest, 'networks': networks, 'terms': [fields(t) for t in recipe.terms], 'numbers': numbers}
