"""A recipe: the networks and terms of a run, in order of dependency."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kd_jax.core.network import Network
from kd_jax.core.term import Term


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """Networks in order of dependency and terms; `hparams` holds every number that may change without compiling."""

    networks: tuple[Network, ...]
    terms: tuple[Term, ...]
    hparams: Mapping[str, Any]

    def network(self, name: str) -> Network:
        return next(network for network in self.networks if network.name == name)

    @property
    def trained(self) -> tuple[Network, ...]:
        return tuple(network for network in self.networks if network.update == 'sgd')

    @property
    def owners(self) -> tuple[Network, ...]:
        """Networks that have variables of their own."""
        return tuple(network for network in self.networks if network.owner == network.name)

    @property
    def moving(self) -> tuple[Network, ...]:
        """Networks whose variables are in the state, and so in checkpoints."""
        return tuple(network for network in self.owners if network.update != 'frozen')

    @property
    def frozen(self) -> tuple[Network, ...]:
        return tuple(network for network in self.networks if network.update == 'frozen')


def outside_gradient(recipe: Recipe) -> tuple[Network, ...]:
    """Networks that no gradient passes: not trained, and fed by nothing that is."""
    inside: set[str] = set()
    for network in recipe.networks:
        trains = network.optimizer is not None and not network.constant
        if trains or inside & {path.source for path in network.inputs}:
            inside.add(network.name)
    return tuple(network for network in recipe.networks if network.name not in inside)


def recordable(recipe: Recipe) -> tuple[Network, ...]:
    """Frozen networks fed by the batch alone: a batch may carry their outputs, and then they do not run."""
    found: list[Network] = []
    changing: set[str] = set()
    for network in outside_gradient(recipe):
        if network.update == 'frozen' and not changing & {path.source for path in network.inputs}:
            found.append(network)
        else:
            changing.add(network.name)
    return tuple(found)


def trained_copies(term: Term, recipe: Recipe) -> int:
    """The number of stacked trained networks that the term teaches, 0 for a single one."""
    sources = {path.source for path in term.paths() if not path.stop}
    return max((n.copies for n in recipe.networks if n.name in sources and n.optimizer and not n.constant), default=0)
