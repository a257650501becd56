"""Takes over the models of networks from other runs: the option `like` of a network."""

from collections.abc import Callable, Mapping
from typing import Any

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.references import RunReference, parse_reference
from kd_jax.prepare.network_options import FOLLOW_KEYS, USE_KEYS
from kd_jax.prepare.run_options import check_dictionary

WITHOUT_WEIGHTS = ('frozen', 'shared')


def with_inherited_models(
    config: Mapping[str, Any], config_of: Callable[[str], Mapping[str, Any]], where: str
) -> Mapping[str, Any]:
    """Replaces `like='run:NAME/NETWORK'` in networks by the model of that network and the options of the model.

    Options beside `like` override those of the other network.

    Args:
      config: a run's config.
      config_of: run name -> its config, in which no `like` is left.
      where: the place of the run in the study, for messages.
    Raises:
      UserError: `like` does not name a run, or the run has no such network.
    """
    networks = check_dictionary(config.get('networks', {}), f'{where}.networks')
    for name, options in networks.items():
        check_dictionary(options, f'{where}.networks.{name}')
    if not any('like' in options for options in networks.values()):
        return config
    complete = {}
    for name, options in networks.items():
        complete[name] = dict(options)
        if (reference := like_of(options, f"{where}, network '{name}'")) is not None:
            del complete[name]['like']
            complete[name] = {**_inherited(config_of(reference.run), reference, where, name), **complete[name]}
    return {**config, 'networks': complete}


def like_of(network: Mapping[str, Any], where: str) -> RunReference | None:
    """The network whose model this one takes over; None for a network without `like`.

    Raises:
      UserError: `like` is not 'run:NAME' or 'run:NAME/NETWORK'.
    """
    if 'like' not in network:
        return None
    reference = parse_reference(network['like'])
    if not isinstance(reference, RunReference):
        raise UserError(f"{where}: like is {network['like']!r}, but it must be 'run:NAME' or 'run:NAME/NETWORK'.")
    return reference


def model_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network that say what it is: its model, the model's options, inputs, copies, normalisation."""
    left_out = (*USE_KEYS, *FOLLOW_KEYS) if options.get('update') == 'follow' else USE_KEYS
    return {key: option for key, option in options.items() if key not in left_out}


def network_in(config: Mapping[str, Any], reference: RunReference, where: str) -> str:
    """The name of the network that the reference means; a reference without a name means the only one with weights.

    Raises:
      UserError: the run has no such network, or has several with weights and the reference names none.
    """
    networks = config['networks']
    own = [name for name, options in networks.items() if options.get('update') not in WITHOUT_WEIGHTS]
    name = reference.network or (own[0] if len(own) == 1 else '')
    if name not in networks:
        what = f'no network {name!r}' if name else 'several networks: name one as NAME/NETWORK'
        raise UserError(f"{where}: run '{reference.run}' has {what}. {suggest(name, networks)}")
    return name


def _inherited(config: Mapping[str, Any], reference: RunReference, where: str, name: str) -> dict[str, Any]:
    place = f"{where}, network '{name}', like"
    options = model_options(config['networks'][network_in(config, reference, place)])
    if 'model' not in options:
        raise UserError(f"{place}: '{reference}' has no model of its own; name the network whose parameters it shares.")
    return options
