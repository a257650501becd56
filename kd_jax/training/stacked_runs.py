"""Stacks runs on a leading axis, to train them as one program.

There are two ways over that axis. `vmap` takes the same step of every run at once. It suits small networks, whose steps
alone leave the machine idle. `map` takes the runs one after another inside the program; each computes exactly what it
computes alone.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kd_jax.data.batches import concatenate_splits
from kd_jax.prepare.prepared_run import PreparedRun

T = TypeVar('T')


ALONE = 'alone'


BATCHINGS = ('vmap', 'map')


def group_equal(keys: Sequence[Any]) -> list[list[int]]:
    """The positions of equal keys together, in order of their first."""
    found: list[tuple[Any, list[int]]] = []
    for position, key in enumerate(keys):
        places = next((places for other, places in found if other == key), None)
        if places is None:
            found.append((key, places := []))
        places.append(position)
    return [places for _, places in found]


def share_equal_data(prepared: PreparedRun, others: Sequence[PreparedRun]) -> PreparedRun:
    """The job with the arrays of another one for each split that is equal to its, so that they are there once."""
    if not (others and prepared.resident):
        return prepared
    arrays = {
        name: next((o.splits.arrays[name] for o in others if _equal(o.splits.arrays.get(name, {}), own)), own)
        for name, own in prepared.splits.arrays.items()
    }
    return dataclasses.replace(prepared, splits=dataclasses.replace(prepared.splits, arrays=arrays))


def float32_hparams(prepared: PreparedRun) -> Any:
    """The leaves of `hparams` as float32, of one type whether they are stacked or not."""
    return jax.tree.map(np.float32, prepared.recipe.hparams)


def stack_trees(trees: Sequence[Any]) -> Any:
    """The trees' arrays on a new leading axis; a single tree as it is."""

    def stack(*leaves: Any) -> Any:
        return np.stack(leaves) if isinstance(leaves[0], np.ndarray | np.generic) else jnp.stack(leaves)

    return trees[0] if len(trees) == 1 else jax.tree.map(stack, *trees)


def unstack_tree(tree: Any, size: int) -> list[Any]:
    """The trees that `stacked` took."""
    return [tree] if size == 1 else [jax.tree.map(lambda a, i=i: a[i], tree) for i in range(size)]


def stacked_shardings(tree: Any, size: int, shared: frozenset[str] = frozenset()) -> Any:
    """The shardings of `stacked` arrays: over 'stack' if it divides the runs, and then as those of one run.

    Args:
      tree: of one run.
      size: of the pack.
      shared: keys of a dictionary `tree` whose arrays are not stacked.
    """

    def lead(own: NamedSharding) -> NamedSharding:
        able = size % own.mesh.shape['stack'] == 0 and 'stack' not in own.spec
        return NamedSharding(own.mesh, PartitionSpec('stack' if able else None, *own.spec))

    if size == 1:
        return tree
    if shared:
        return {name: own if name in shared else stacked_shardings(own, size) for name, own in tree.items()}
    return jax.tree.map(lead, tree)


def first_equal(splits: Sequence[Mapping[str, Any]]) -> list[int]:
    """For each split the place of the first one that is equal."""
    places: list[int] = []
    for split in splits:
        distinct = dict.fromkeys(places)
        places.append(next((i for i in distinct if split is splits[i] or _equal(split, splits[i])), len(places)))
    return places


def join_splits(splits: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], list[int]]:
    """All examples of several splits, of equal ones once, and the position of each split's first example."""
    if len(splits) == 1:
        return splits[0], [0]
    places = first_equal(splits)
    distinct = [splits[i] for i in dict.fromkeys(places)]
    starts = {place: number * len(splits[0]['id']) for number, place in enumerate(dict.fromkeys(places))}
    return concatenate_splits(distinct), [starts[place] for place in places]


def _equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if a.keys() != b.keys():
        return False
    pairs = sorted(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True), key=lambda pair: pair[0].nbytes)
    return all(x is y or np.array_equal(x, y) for x, y in pairs)


class Shared(NamedTuple):
    """What the runs of a pack have in common, which is there once, without the axis of runs.

    Attributes:
      frozen: names of frozen networks of the same variables.
      batches: whether they see the same examples in the same views: they have one seed and one training set.
    """

    frozen: frozenset[str] = frozenset()
    batches: bool = False


NOTHING = Shared()


def shared_networks(frozen: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The frozen networks that are one object for all runs."""
    return frozenset(name for name, tree in frozen[0].items() if all(own[name] is tree for own in frozen))


def over_runs(chunk: Callable[..., Any], by: str, shared: Shared) -> Callable[..., Any]:
    """`chunk(state, hparams, frozen, resident, xs, views, key)` without the key, over a leading axis of runs.

    The data and the views do not have that axis, nor what is shared: vmapped, frozen networks that all runs have on
    batches that all runs see are computed once for all.

    Args:
      chunk: the program of one run; `key` is the one of the state that its views are drawn by.
      by: 'vmap', 'map', or 'alone' for a single run without that axis.
      shared: what the runs have in common.
    """

    def alone(state, hparams, frozen, resident, xs, views):
        return chunk(state, hparams, frozen, resident, xs, views, state.key)

    def vmapped(state, hparams, frozen, resident, xs, views):
        axes = {name: None if name in shared.frozen else 0 for name in frozen}
        of_batches = None if shared.batches else 0
        key = state.key[0] if shared.batches else state.key
        over = jax.vmap(chunk, in_axes=(0, 0, axes, None, of_batches, None, of_batches))
        return over(state, hparams, frozen, resident, xs, views, key)

    def mapped(state, hparams, frozen, resident, xs, views):
        common = {name: tree for name, tree in frozen.items() if name in shared.frozen}
        own = {name: tree for name, tree in frozen.items() if name not in shared.frozen}

        def one(run):
            state, hparams, frozen, own_xs = run
            frozen, rows = {**common, **frozen}, xs if shared.batches else own_xs
            return chunk(state, hparams, frozen, resident, rows, views, state.key)

        return jax.lax.map(one, (state, hparams, own, None if shared.batches else xs))

    return {'vmap': vmapped, 'map': mapped, ALONE: alone}[by]
