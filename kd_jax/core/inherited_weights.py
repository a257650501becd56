"""Which variables a network takes over from another network (`init`), and whether they fit.

`fresh`, `part` and `init_layers` say what is taken of it.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.json_files import flat
from kd_jax.core.network import Network


def source_for(
    network: Network, source: str, there: Mapping[str, Any], own: Mapping[str, Any], where: str, origin: str
) -> str:
    """Finds the network in `there` that `network` starts from, and checks that its variables fit.

    Args:
      network: the network that takes over the variables; its `fresh` modules need not fit.
      source: the name of the network to start from; '' for the only one in `there`.
      there: variables by network, arrays or shapes.
      own: the variables of `network` itself, arrays or shapes.
      where: the place in the config, for messages.
      origin: where the variables in `there` come from, for messages.
    Returns:
      the name of the network in `there`.
    Raises:
      UserError: `there` has no such network, or has several and `source` is '', the model of `network` lacks a `fresh`
        module or a `part`, or variables differ in name or shape.
    """
    source = source or (next(iter(there)) if len(there) == 1 else '')
    if source not in there:
        what = f'no network {source!r}' if source else 'several networks: name one as NAME/NETWORK'
        raise UserError(f'{where}: {origin} has {what}. {suggest(source, there)}')
    check_fresh(network, own, where)
    if network.init_layers:
        saved = [
            a.shape[0] for name in network.layer_stacks for a in jax.tree.leaves(there[source]['params'].get(name))
        ]
        layers_to_take(network, min(saved, default=0), own, where, origin)
    taken = jax.eval_shape(lambda tree: take_layers(tree, network), there[source])
    shapes = [{name: tuple(a.shape) for name, a in flat(without_fresh(tree, network)).items()} for tree in (taken, own)]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        loaded, wanted = (shape.get(name, 'missing') for shape in shapes)
        if loaded != wanted:
            raise UserError(
                f'{where} does not fit {origin}: {name} is {loaded} there and {wanted} here; use the same model.'
            )
    return source


def check_finite(variables: Any, where: str, origin: str) -> None:
    """Raises a UserError if weights that were read are NaN or infinite; training would blame the learning rate.

    Args:
      variables: a tree of arrays.
      where: the place in the config, for messages.
      origin: the file or directory that the arrays come from, for messages.
    """
    for path, array in jax.tree_util.tree_leaves_with_path(variables):
        if not jnp.issubdtype(jnp.result_type(array), jnp.inexact):
            continue
        whole = not isinstance(array, jax.Array) or array.is_fully_addressable
        wrong = ~np.isfinite(np.asarray(array)) if whole else ~jnp.isfinite(array)
        if wrong.any():
            name = jax.tree_util.keystr(path, simple=True, separator='/')
            raise UserError(
                f'{where}: {int(wrong.sum()):,} of the {wrong.size:,} values of {name} in {origin} are NaN or '
                'infinite; take other weights.'
            )


def check_fresh(network: Network, own: Mapping[str, Any], where: str) -> None:
    """Raises a UserError if a `fresh` or `part` module of the network is not among its variables `own`."""
    for module in (*network.fresh, *network.part):
        if module not in own['params']:
            what = 'to start fresh' if module in network.fresh else 'to take from there'
            raise UserError(f'{where} has no module {module!r} {what}. {suggest(module, own["params"])}')


def layers_to_take(network: Network, layers: int, own: Mapping[str, Any], where: str, origin: str) -> tuple[int, ...]:
    """The layers, counted from 0, that the layers of a network start from; all unless it has `init_layers`.

    Args:
      network: the network.
      layers: the number of layers there.
      own: the variables of the network itself, arrays or shapes.
      where: the place in the config, for messages.
      origin: where the layers come from, for messages.
    Raises:
      UserError: its model has no stack of layers or another number of layers, `origin` has fewer layers, or the network
        has copies.
    """
    if not network.init_layers:
        return tuple(range(layers))
    stacks = [own['params'][name] for name in network.layer_stacks]
    if not stacks or network.copies:
        what = 'it has copies' if stacks else 'its model has no stack of layers'
        raise UserError(f'{where} cannot have init_layers, because {what}; leave init_layers out.')
    (count,) = {a.shape[0] for a in jax.tree.leaves(stacks)}
    if len(network.init_layers) != count:
        raise UserError(
            f'{where}: init_layers names {len(network.init_layers)} layers, but the model has {count}; name one for '
            'each.'
        )
    if max(network.init_layers) > layers:
        raise UserError(f'{where}: init_layers has {max(network.init_layers)}, but {origin} has {layers} layers.')
    return tuple(number - 1 for number in network.init_layers)


def take_layers(variables: dict[str, Any], network: Network) -> dict[str, Any]:
    """The variables of a source with those layers alone that `init_layers` names; unchanged without `init_layers`."""
    if not network.init_layers:
        return variables
    index, stacked = np.array(network.init_layers) - 1, network.layer_stacks
    return {
        collection: {
            name: jax.tree.map(lambda a: a[index], tree) if name in stacked else tree for name, tree in modules.items()
        }
        for collection, modules in variables.items()
    }


def without_fresh(variables: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """The variables of a network that `init` gives: its `part` modules, or all modules, without the `fresh` ones."""

    def given(name):
        return name not in network.fresh and (not network.part or name in network.part)

    return {
        collection: {name: tree for name, tree in modules.items() if given(name)}
        for collection, modules in variables.items()
    }
