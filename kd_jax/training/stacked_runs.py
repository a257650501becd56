"""Stacks runs on a leading axis, to train them as one program.

The program goes over that axis with `vmap` or with `lax.map`. `vmap` computes the same step of all runs at once. It
suits small networks, because one run alone does not keep the machine busy. `map` trains the runs one after another
inside the program; each run computes exactly what it computes alone.
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
    """Groups the positions of equal keys; the groups are in the order in which their keys first occur."""
    found: list[tuple[Any, list[int]]] = []
    for position, key in enumerate(keys):
        places = next((places for other, places in found if other == key), None)
        if places is None:
            found.append((key, places := []))
        places.append(position)
    return [places for _, places in found]


def share_equal_data(prepared: PreparedRun, others: Sequence[PreparedRun]) -> PreparedRun:
    """Replaces each split by the equal split of another run, if there is one, so that memory holds it only once."""
    if not (others and prepared.resident):
        return prepared
    arrays = {
        name: next((o.splits.arrays[name] for o in others if _equal(o.splits.arrays.get(name, {}), own)), own)
        for name, own in prepared.splits.arrays.items()
    }
    return dataclasses.replace(prepared, splits=dataclasses.replace(prepared.splits, arrays=arrays))


def float32_hparams(prepared: PreparedRun) -> Any:
    """The leaves of `hparams` as float32, so that they have the same type whether they are stacked or not."""
    return jax.tree.map(np.float32, prepared.recipe.hparams)


def stack_trees(trees: Sequence[Any]) -> Any:
    """Stacks the arrays of the trees on a new leading axis; a single tree is returned unchanged."""

    def stack(*leaves: Any) -> Any:
        return np.stack(leaves) if isinstance(leaves[0], np.ndarray | np.generic) else jnp.stack(leaves)

    return trees[0] if len(trees) == 1 else jax.tree.map(stack, *trees)


def unstack_tree(tree: Any, size: int) -> list[Any]:
    """Splits the result of `stack_trees` into the original trees."""
    return [tree] if size == 1 else [jax.tree.map(lambda a, i=i: a[i], tree) for i in range(size)]


def stacked_shardings(tree: Any, size: int, shared: frozenset[str] = frozenset()) -> Any:
    """The shardings of stacked arrays.

    The axis of runs is split over the mesh axis 'stack', if 'stack' divides the number of runs and no other axis uses
    it. The other axes keep the shardings of one run.

    Args:
      tree: the shardings of one run.
      size: the number of runs.
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
    """For each split, the index of the first split that is equal to it."""
    places: list[int] = []
    for split in splits:
        distinct = dict.fromkeys(places)
        places.append(next((i for i in distinct if split is splits[i] or _equal(split, splits[i])), len(places)))
    return places


def join_splits(splits: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], list[int]]:
    """Concatenates the examples of several splits; equal splits are stored once.

    Returns:
      the arrays, and for each split the position of its first example.
    """
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
    """What the runs of a group have in common; it is stored once, without the axis of runs.

    Attributes:
      frozen: names of the frozen networks that have the same variables in all runs.
      batches: whether all runs see the same examples in the same views, because they have the same seed and training
        set.
    """

    frozen: frozenset[str] = frozenset()
    batches: bool = False


NOTHING = Shared()


def shared_networks(frozen: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the frozen networks that are one object for all runs."""
    return frozenset(name for name, tree in frozen[0].items() if all(own[name] is tree for own in frozen))


def over_runs(chunk: Callable[..., Any], by: str, shared: Shared) -> Callable[..., Any]:
    """Applies the chunk program of one run over a leading axis of runs.

    The data, the views and what the runs share do not have that axis. With `vmap`, a frozen network that all runs share
    is computed once for all runs if they also share their batches.

    Args:
      chunk: `chunk(state, hparams, frozen, resident, xs, views, key)`, the chunk program of one run; `key` is the key
        of the state that augmentation uses.
      by: 'vmap', 'map', or 'alone' for a single run without that axis.
      shared: what the runs have in common.
    Returns:
      the same function without `key`.
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
