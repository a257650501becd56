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
from kd_jax.prepare.run_options import run_option


def parse_recipe(config: Mapping[str, Any], where: str = 'config') -> Recipe:
    """Parses the recipe in a run's config, from `networks`, `terms`, `optimizer` and `compute_dtype`.

    If a number of a term is a result of another run ('result:RUN.PATH') that is not known yet, 1 takes its place.

    Raises:
      UserError: a model, loss, optimizer, option or network is unknown, a number is out of range, or networks read each
        other in a circle. `core.check_recipe` checks the names of activations, because it knows all of them.
    """
    networks: list[Network] = []
    terms: list[Term] = []
    hparams: dict[str, Any] = {'optimizers': {}, 'terms': {}, 'networks': {}, 'follow': {}}
    described = config.get('networks', {})
    for name in sorted(described, key=lambda name: described[name].get('update') == 'shared'):
        options, place = described[name], f"{where}, network '{name}'"
        if options.get('update') == 'shared':
            networks.append(parse_shared_network(name, options, networks, hparams, place))
        else:
            options = {'compute_dtype': run_option(config, 'compute_dtype'), **options}
            networks.append(
                parse_network(name, options, config.get('optimizer'), hparams, place, 'transform' not in config)
            )
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
        _check_follows(network, {n.name: n for n in networks if n.update == 'sgd'}, where)
    copies = {network.name: network.copies for network in networks}
    networks = [
        dataclasses.replace(n, stacked=tuple(0 < n.copies == copies.get(path.source) for path in n.inputs))
        for n in networks
    ]
    by_name = {network.name: network for network in networks}
    reads = {network.name: {path.source for path in network.inputs} for network in networks}
    ordered = in_dependency_order(reads, f'{where}: networks {{}} read each other in a circle.')
    return Recipe(tuple(by_name[name] for name in ordered), tuple(terms), hparams)


def _check_follows(network: Network, trained: Mapping[str, Network], where: str) -> None:
    """Refuses a network that follows an untrained one, or that averages the copies of a network without copies."""
    if network.follow is None:
        return
    of, place = next(iter(network.of), ''), f"{where}, network '{network.name}'"
    if of not in trained:
        raise UserError(f"{place} follows '{of}', which is not a trained network. {suggest(of, trained)}")
    if network.follow.rule == 'average' and network.copies:
        raise UserError(f"{place} is the average of the copies of '{of}', so it is one network; leave copies out.")
    if network.follow.rule == 'average' and not trained[of].copies:
        raise UserError(f"{place} is the average of the copies of '{of}', which has none; set its copies.")
