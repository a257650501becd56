"""Refuses what a run's config says about networks that would have no effect."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from kd_jax.config.errors import UserError
from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.inherited_weights import without_fresh
from kd_jax.core.paths import Context, Path
from kd_jax.core.recipe import Recipe
from kd_jax.core.term import Term
from kd_jax.devices.tensor_axis import TENSOR
from kd_jax.models.pretrained import Pretrained


def check_effects(recipe: Recipe, config: Mapping[str, Any], context: Context, where: str) -> None:
    """Checks that frozen networks have weights, that trained ones learn, and that options about them have an effect.

    Args:
      recipe: the recipe of the run.
      config: the config of the run.
      context: shapes of everything that a path can read.
      where: the place in the config, for messages.
    Raises:
      UserError: a frozen network, or a part of it, would stay random; no term reaches a trained network; a network with
        initial weights is trained as a target alone; every trained network has an optimizer of its own beside that of
        the run; or parameters are to be split over no device.
    """
    _check_frozen(recipe, context, where)
    networks = config.get('networks', {})
    if config.get('epochs'):
        _check_learns(recipe, context, where)
        if config.get('optimizer') and all('optimizer' in networks[network.name] for network in recipe.trained):
            raise UserError(
                f'{where}: optimizer has no effect, because every trained network has its own; leave it out, or leave '
                'out theirs.'
            )
    for network in recipe.networks:
        if network.sharding == 'fsdp' and 'fsdp' not in config.get('mesh', {}):
            raise UserError(
                f"{where}, network '{network.name}': sharding='fsdp' splits its parameters over the axis 'fsdp' of the "
                'mesh, which has size 1 unless mesh.fsdp is set; set it (-1 for all devices), or leave sharding out.'
            )


def check_tensor(recipe: Recipe, mesh: Mesh, where: str) -> None:
    """Checks that the axis 'tensor' of the mesh, if it has several devices, can split the models of the recipe.

    Raises:
      UserError: a language model cannot be split into so many parts, or no network is a language model.
    """
    parts = mesh.shape[TENSOR]
    if parts == 1:
        return
    split = set()
    for network in recipe.networks:
        try:
            split |= {network.name} if network.tensor_split(parts) else set()
        except UserError as error:
            raise UserError(f"{where}, network '{network.name}': {error}.") from None
    if not split:
        raise UserError(
            f'{where}: mesh.tensor={parts} splits language models (decoder, encoder), but the networks '
            f'{", ".join(network.name for network in recipe.networks)} are none; leave tensor out and set data or fsdp.'
        )


def _check_frozen(recipe: Recipe, context: Context, where: str) -> None:
    """Refuses frozen networks of which parameters would stay random."""
    for network in recipe.frozen:
        own, place = network_shapes(network, context)[0], f"{where}, network '{network.name}'"
        if not network.init and not isinstance(network.module, Pretrained) and jax.tree.leaves(own):
            raise UserError(
                f"{place} is frozen but has no weights to load: set init='run:NAME', init='torch:FILE' or "
                "init='gguf:FILE'."
            )
        if (
            random := sorted(own['params'].keys() - without_fresh(own, network)['params'].keys())
            if network.init
            else ()
        ):
            option = 'fresh' if network.fresh else 'part'
            raise UserError(
                f'{place} is frozen, but {option} leaves {", ".join(random)} at random values for ever; leave {option} '
                'out, or train the network.'
            )


def _check_learns(recipe: Recipe, context: Context, where: str) -> None:
    """Refuses trained networks to whose parameters no term sends a gradient, and teachers that learn as targets."""
    reached = _reached(recipe, [path for term in recipe.terms for path in term.paths()])
    not_as_target = _reached(recipe, [p for term in recipe.terms for p in term.paths() if p not in _targets(term)])
    for network in recipe.trained:
        own, place = network.name, f"{where}, network '{network.name}'"
        if own not in reached and jax.tree.leaves(network_shapes(network, context)[0]['params']):
            raise UserError(
                f'{place} is trained, but no term sends it a gradient: none reads it, unless '
                "as a constant ('~'), directly or through another network; let a term read it, or leave it out."
            )
        if network.init and own in reached - not_as_target:
            raise UserError(
                f'{place} starts from the weights of {network.init!r} and is trained, but only as a target, so it '
                "would learn to agree with its student; set update='frozen', or give it a term of its own."
            )


def _targets(term: Term) -> list[Path]:
    """The paths that a term reads as `target`."""
    names = inspect.signature(term.loss).parameters
    reads = [read for name, read in zip(names, term.reads, strict=False) if name == 'target']
    return [path for read in reads for path in (read if isinstance(read, tuple) else (read,))]


def _reached(recipe: Recipe, paths: Sequence[Path]) -> set[str]:
    """The networks to which a gradient flows from these paths."""
    reads: dict[str, set[Path]] = {network.name: set(network.inputs) for network in recipe.networks}
    reached, followed, waiting = set[str](), set[str](), list(paths)
    while waiting:
        path = waiting.pop()
        if path.stop or path.source == 'batch' or path.source in followed:
            continue
        reached.add(path.source)
        followed.add(path.source)
        waiting += reads[path.source]
        network = recipe.network(path.source)
        pairs = zip(network.of, network.constant, strict=False) if network.update == 'shared' else ()
        reached |= {name for name, constant in pairs if not constant}
    return reached
