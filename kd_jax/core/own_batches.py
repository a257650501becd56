"""Copies of a network that each read their own part of the batch, as the clients of federated learning do.

With n copies, copy i reads the i-th of n equal parts of the batch while it trains. A term that reads such copies sees
all other arrays, such as labels, cut in the same way. In evaluation every copy reads every example.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.core.paths import Context, Path
from kd_jax.core.recipe import Recipe
from kd_jax.core.term import Term


def part_of_each(array: Any, copies: int) -> Any:
    """An array or a shape, [batch, ...], cut into [copies, batch / copies, ...]."""
    shape = (copies, array.shape[0] // copies, *array.shape[1:])
    return jax.ShapeDtypeStruct(shape, array.dtype) if isinstance(array, jax.ShapeDtypeStruct) else array.reshape(shape)


def as_trained(network: Network, inputs: Sequence[Any]) -> tuple[Network, list[Any]]:
    """The network and its inputs as training sees them: for copies with batches of their own, each input is cut."""
    if not network.own_batches:
        return network, list(inputs)
    stacked = network.stacked or (False,) * len(inputs)
    cut = [a if own else part_of_each(a, network.copies) for a, own in zip(inputs, stacked, strict=True)]
    return dataclasses.replace(network, stacked=(True,) * len(cut)), cut


def parts_of_term(term: Term, recipe: Recipe) -> int:
    """The number of parts into which a term's arrays are cut: that of the copies with batches of their own, or 0."""
    return max((n.copies for n in _sources(term.paths(), recipe) if n.own_batches), default=0)


def cut_for_term(array: jax.Array, path: Path, recipe: Recipe, parts: int) -> jax.Array:
    """The array at a path as it is seen by a term whose arrays are cut into `parts`."""
    own = path.source != 'batch' and recipe.network(path.source).own_batches
    return array if own or not parts else part_of_each(array, parts)


def check_own_batches(recipe: Recipe, context: Context, where: str) -> None:
    """Checks that copies with batches of their own fit the batch, and the networks and terms that read them.

    Args:
      recipe: the recipe.
      context: the arrays or shapes of the batch, under 'batch'.
      where: the place in the config, for messages.
    Raises:
      UserError: their number does not divide the batch; a network or a term reads them together with copies that read
        the whole batch; or a term teaches them and other networks at once.
    """
    for network in recipe.networks:
        place = f"{where}, network '{network.name}'"
        sources = _sources(network.inputs, recipe)
        theirs = next((source for source in sources if source.own_batches), None)
        if theirs and not (network.own_batches and network.copies == theirs.copies):
            raise UserError(
                f"{place} reads '{theirs.name}', whose copies have batches of their own: set "
                f'copies={theirs.copies} and own_batches=True.'
            )
        if network.own_batches:
            _check_whole(sources, place)
            _check_divides(network, recipe, context, place)
    for term in recipe.terms if any(network.own_batches for network in recipe.networks) else ():
        _check_term(term, recipe, f"{where}, term '{term.name}'")


def _check_divides(network: Network, recipe: Recipe, context: Context, place: str) -> None:
    size = min((array.shape[0] for array in context['batch'].values()), default=0)
    if size % network.copies:
        near = size - size % network.copies or network.copies
        raise UserError(
            f'{place}: its {network.copies} copies with own_batches cannot share a batch_size of {size} evenly: use '
            f'batch_size={near}, for example.'
        )


def _check_term(term: Term, recipe: Recipe, place: str) -> None:
    sources = _sources(term.paths(), recipe)
    theirs = [source for source in sources if source.own_batches]
    if not theirs:
        return
    if len({source.copies for source in theirs}) > 1:
        shown = ', '.join(f'{source.name} {source.copies}' for source in theirs)
        raise UserError(f'{place} reads networks with own_batches of unlike numbers of copies: {shown}.')
    _check_whole(sources, place)
    taught = _sources([path for path in term.paths() if not path.stop], recipe)
    others = [source.name for source in taught if source.learns and not source.own_batches]
    if others and (term.compares or any(source.learns for source in taught if source.own_batches)):
        what = 'compares the examples of each part alone' if term.compares else 'teaches copies with own_batches'
        raise UserError(f"{place} {what}, so it cannot teach '{others[0]}' too: read it as '~{others[0]}....'.")


def _check_whole(sources: Sequence[Network], place: str) -> None:
    """Refuses copies that read the whole batch beside copies that read parts."""
    whole = next((source for source in sources if source.copies and not source.own_batches), None)
    if whole:
        raise UserError(
            f"{place} reads '{whole.name}', whose copies read the whole batch, with copies that have own_batches; set "
            f'own_batches=True for {whole.name}, or copies=0.'
        )


def _sources(paths: Sequence[Path], recipe: Recipe) -> list[Network]:
    names = dict.fromkeys(path.source for path in paths if path.source != 'batch')
    return [recipe.network(name) for name in names]
