"""Parses the recipe in a run's config: its networks, terms and optimizers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kd_jax.config.dependency_order import in_dependency_order
from kd_jax.config.errors import UserError, suggest
from kd_jax.core.network import Network
from kd_jax.core.recipe import Recipe
from kd_jax.core.term import Term
from kd_jax.prepare.parse_networks import parse_network, parse_shared_network
from kd_jax.prepare.parse_terms import parse_term, unknown_results_as_ones


def parse_recipe(config: Mapping[str, Any], where: str = 'config') -> Recipe:
    """Parses the recipe in a run's config, from `networks`, `terms`, `optimizer` and `compute_dtype`.

    If a number of a term is a result of another run ('result:RUN.PATH') that is not known yet, 1 takes its place.

    Raises:
      UserError: a model, loss, optimizer, option or network is unknown, a number is out of range, or networks read each
        other in a circle. `core.check_recipe` checks the names of activations, because it knows all of them.
    """
    networks: list[Network] = []
    terms: list[Term] = []
    hparams: dict[str, Any] = {'optimizers': {}, 'terms': {}, 'networks': {}, 'ema': {}}
    described = config.get('networks', {})
    for name in sorted(described, key=lambda name: described[name].get('update') == 'shared'):
        options, place = described[name], f"{where}, network '{name}'"
        if options.get('update') == 'shared':
            networks.append(parse_shared_network(name, options, networks, hparams, place))
        else:
            options = {'compute_dtype': config.get('compute_dtype', 'float32'), **options}
            networks.append(parse_network(name, options, config.get('optimizer'), hparams, place))
    for name, options in unknown_results_as_ones(config.get('terms', {})).items():
        terms.append(parse_term(name, options, hparams, f"{where}, term '{name}'"))
    names = {network.name for network in networks} | {'batch'}
    for place, paths in [(f"network '{n.name}'", n.inputs) for n in networks] + [
        (f"term '{t.name}'", t.paths()) for t in terms
    ]:
        for path in paths:
            if path.source not in names:
                hint = suggest(path.source, names)
                raise UserError(f"{where}, {place} reads '{path}', but there is no network '{path.source}'. {hint}")
    for network in networks:
        if network.update == 'ema' and network.of[0] not in {n.name for n in networks if n.update == 'sgd'}:
            hint = suggest(network.of[0], [n.name for n in networks if n.update == 'sgd'])
            raise UserError(
                f"{where}, network '{network.name}' averages '{network.of[0]}', which is not trained. {hint}"
            )
    copies = {network.name: network.copies for network in networks}
    networks = [
        dataclasses.replace(n, stacked=tuple(0 < n.copies == copies.get(path.source) for path in n.inputs))
        for n in networks
    ]
    by_name = {network.name: network for network in networks}
    reads = {network.name: {path.source for path in network.inputs} for network in networks}
    ordered = in_dependency_order(reads, f'{where}: networks {{}} read each other in a circle.')
    return Recipe(tuple(by_name[name] for name in ordered), tuple(terms), hparams)
