"""Which variables a network takes from another one (`init`, `fresh`, `part`), and whether they fit."""

from collections.abc import Mapping
from typing import Any

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.json_files import flat
from kd_jax.core.network import Network


def source_for(
    network: Network, source: str, there: Mapping[str, Any], own: Mapping[str, Any], where: str, origin: str
) -> str:
    """The name of the network in `there` that `network` starts from.

    Args:
      network: what starts from it; its `fresh` modules need not fit.
      source: the name asked for; '' for the only one.
      there: variables, arrays or shapes, by network.
      own: the variables as the network's model has them, arrays or shapes.
      where: the place in the config, for messages.
      origin: what `there` is, for messages.
    Raises:
      UserError: no such network, or parameters of other names or shapes.
    """
    source = source or (next(iter(there)) if len(there) == 1 else '')
    if source not in there:
        what = f'no network {source!r}' if source else 'several networks: say which, NAME/NETWORK'
        raise UserError(f'{where}: {origin} has {what}. {suggest(source, there)}')
    check_fresh(network, own, where)
    shapes = [
        {name: tuple(a.shape) for name, a in flat(without_fresh(tree, network)).items()}
        for tree in (there[source], own)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        loaded, wanted = (shape.get(name, 'missing') for shape in shapes)
        if loaded != wanted:
            raise UserError(
                f'{where} does not fit {origin}: {name} is {loaded} there and {wanted} here; make the two models alike.'
            )
    return source


def check_fresh(network: Network, own: Mapping[str, Any], where: str) -> None:
    """Raises a UserError if the network's model, of variables `own`, lacks a `fresh` module or a `part`."""
    for module in (*network.fresh, *network.part):
        if module not in own['params']:
            what = 'to start fresh' if module in network.fresh else 'to take from there'
            raise UserError(f'{where} has no module {module!r} {what}. {suggest(module, own["params"])}')


def without_fresh(variables: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Those of a network's variables that `init` gives: without its `fresh` modules, its `part` alone if it has one."""

    def given(name):
        return name not in network.fresh and (not network.part or name in network.part)

    return {
        collection: {name: tree for name, tree in modules.items() if given(name)}
        for collection, modules in variables.items()
    }
