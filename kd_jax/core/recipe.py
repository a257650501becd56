"""A recipe: the networks and terms of a run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kd_jax.core.network import Network
from kd_jax.core.term import Term


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """Everything that the training step needs to know about a run.

    Attributes:
      networks: in order of dependency.
      terms: the weighted losses, which are added up.
      hparams: every number that may change without a new compilation: 'optimizers', 'follow' and 'networks' by
        network, 'terms' by term.
    """

    networks: tuple[Network, ...]
    terms: tuple[Term, ...]
    hparams: Mapping[str, Any]

    def network(self, name: str) -> Network:
        """The network of this name."""
        return next(network for network in self.networks if network.name == name)

    @property
    def loops_over_layers(self) -> bool:
        """Whether a network is a loop over its layers, as decoders and encoders are."""
        return any(network.layer_stacks for network in self.networks)

    @property
    def trained(self) -> tuple[Network, ...]:
        """The networks that have an optimizer of their own."""
        return tuple(network for network in self.networks if network.update == 'sgd' and network.optimizer is not None)

    @property
    def owners(self) -> tuple[Network, ...]:
        """The networks that have variables of their own."""
        return tuple(network for network in self.networks if network.update != 'shared')

    @property
    def moving(self) -> tuple[Network, ...]:
        """The networks whose variables are in the state, and so in checkpoints."""
        return tuple(network for network in self.owners if network.update != 'frozen')

    @property
    def following(self) -> tuple[Network, ...]:
        """Networks that follow others by a rule."""
        return tuple(network for network in self.networks if network.update == 'follow')

    @property
    def frozen(self) -> tuple[Network, ...]:
        """The networks that never change."""
        return tuple(network for network in self.networks if network.update == 'frozen')


def outside_gradient(recipe: Recipe) -> tuple[Network, ...]:
    """The networks that no gradient passes: they are not trained and read, directly or not, no trained network."""
    inside: set[str] = set()
    for network in recipe.networks:
        if network.learns or inside & {path.source for path in network.inputs}:
            inside.add(network.name)
    return tuple(network for network in recipe.networks if network.name not in inside)


def recordable(recipe: Recipe) -> tuple[Network, ...]:
    """The frozen networks that depend on the batch alone; if the batch carries their outputs, they do not run.

    A network with a schedule for one of its numbers also depends on the step. A network whose copies have batches of
    their own also depends on the place of an example in the batch. Whether a network draws noise only its outputs tell:
    `teacher_cache.trial_batches` refuses to record them.
    """
    found: list[Network] = []
    changing: set[str] = set()
    for network in outside_gradient(recipe):
        if (
            network.update == 'frozen'
            and not network.schedules
            and not network.own_batches
            and not changing & {path.source for path in network.inputs}
        ):
            found.append(network)
        else:
            changing.add(network.name)
    return tuple(found)


def trained_copies(term: Term, recipe: Recipe) -> int:
    """The number of stacked copies that the term trains; 0 if it trains a network without copies."""
    sources = {path.source for path in term.paths() if not path.stop}
    return max((n.copies for n in recipe.networks if n.name in sources and n.learns), default=0)
