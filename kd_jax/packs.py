"""Packs: runs that differ in seeds and numbers alone, stacked on a leading axis and trained as one program.

There are two ways over the stacked axis. 'vmap' takes the same step of every run at once, which serves small networks,
whose steps alone leave the machine idle. 'map' takes the runs one after another inside the program, each computing what
it computes alone.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kd_jax import initialize
from kd_jax import recipe as recipes
from kd_jax.data import pipeline
from kd_jax.errors import UserError, suggest
from kd_jax.job import Job

ALONE = 'alone'
WAYS = ('vmap', 'map')
MOST = 64  # runs, each with files and threads of its own
STATE_BYTES = 2**30  # of the stacked states; their gradients take about as much again
TEMPORARY_BYTES = 2**32  # what a vmapped program may need beside its arguments, or it is not tried
OWN = ('analyses', 'networks', 'optimizer', 'terms')

_fastest: list[tuple[Any, str]] = []


def check(pack: Any, where: str) -> None:
    """Raises a UserError if the option `pack` is none of 'auto', 'vmap', 'map' and False."""
    if pack is not False and pack not in ('auto', *WAYS):
        raise UserError(f'{where}: pack is {pack!r}. {suggest(str(pack), ("auto", "False", *WAYS))}')


def structure(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What two runs must have equal to be one program.

    That is all but seeds, the numbers in `hparams`, where networks start from, and analyses.
    """
    recipe = recipes.parse(config, where)

    def fields(thing: Any) -> dict[str, Any]:
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}

    networks = [
        {**fields(n), 'init': bool(n.init), 'optimizer': n.optimizer and fields(n.optimizer)} for n in recipe.networks
    ]
    rest = {key: value for key, value in config.items() if key not in OWN}
    numbers = jax.tree.structure(recipe.hparams)
    return {'config': rest, 'networks': networks, 'terms': [fields(t) for t in recipe.terms], 'numbers': numbers}


def grouped(keys: Sequence[Any], most: int = MOST) -> list[list[int]]:
    """The positions of equal keys together, in order of their first, in parts of nearly one size of at most `most`."""
    found: list[tuple[Any, list[int]]] = []
    for position, key in enumerate(keys):
        places = next((places for other, places in found if other == key), None)
        if places is None:
            found.append((key, places := []))
        places.append(position)
    return [part.tolist() for _, p in found for part in np.array_split(p, math.ceil(len(p) / most))]


def partition(jobs: Sequence[Job], steps: Sequence[int], pack: Any) -> list[list[int]]:
    """The positions of jobs of one structure that make one program: arrays of the same shapes, and at the same step.

    Streamed data is not packed, and of large networks no more than `STATE_BYTES` of state.
    """
    if pack is False or not jobs[0].resident:
        return [[position] for position in range(len(jobs))]
    keys = []
    for job, done in zip(jobs, steps, strict=True):
        arrays = {name: (a.shape, a.dtype) for name, a in job.splits.arrays['train'].items()}
        keys.append((done, job.order.steps_per_epoch, arrays))
    most = min(MOST, max(1, STATE_BYTES // state_bytes(jobs[0])))
    return grouped(keys, most)


def state_bytes(job: Job) -> int:
    """Size of a run's state."""
    state, _ = jax.eval_shape(lambda: initialize.init_state(job.recipe, job.context['batch'], job.seed))
    sized = [a for a in jax.tree.leaves(state) if not jnp.issubdtype(a.dtype, jax.dtypes.extended)]
    return sum(a.size * a.dtype.itemsize for a in sized)


def numbers(job: Job) -> Any:
    """The leaves of `hparams` as float32, of one type whether they are stacked or not."""
    return jax.tree.map(np.float32, job.recipe.hparams)


def stacked(trees: Sequence[Any]) -> Any:
    """The trees' arrays on a new leading axis; a single tree as it is."""

    def stack(*leaves: Any) -> Any:
        return np.stack(leaves) if isinstance(leaves[0], np.ndarray | np.generic) else jnp.stack(leaves)

    return trees[0] if len(trees) == 1 else jax.tree.map(stack, *trees)


def parts(tree: Any, size: int) -> list[Any]:
    """The trees that `stacked` took."""
    return [tree] if size == 1 else [jax.tree.map(lambda a, i=i: a[i], tree) for i in range(size)]


def shardings(tree: Any, size: int, shared: frozenset[str] = frozenset()) -> Any:
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
        return {name: own if name in shared else shardings(own, size) for name, own in tree.items()}
    return jax.tree.map(lead, tree)


def alike(splits: Sequence[Mapping[str, Any]]) -> list[int]:
    """For each split the place of the first one that is equal."""
    places: list[int] = []
    for split in splits:
        distinct = dict.fromkeys(places)
        places.append(next((i for i in distinct if split is splits[i] or _equal(split, splits[i])), len(places)))
    return places


def joined(splits: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], list[int]]:
    """All examples of several splits, of equal ones once, and the position of each split's first example."""
    if len(splits) == 1:
        return splits[0], [0]
    places = alike(splits)
    distinct = [splits[i] for i in dict.fromkeys(places)]
    starts = {place: number * len(splits[0]['id']) for number, place in enumerate(dict.fromkeys(places))}
    return pipeline.joined(distinct), [starts[place] for place in places]


def _equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    pairs = sorted(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True), key=lambda pair: pair[0].nbytes)
    return all(x is y or np.array_equal(x, y) for x, y in pairs)


def over_runs(chunk: Callable[..., Any], by: str, shared: frozenset[str]) -> Callable[..., Any]:
    """`chunk(state, hparams, frozen, resident, xs, views)` over a leading axis of all but the data and the views.

    Args:
      chunk: the program of one run.
      by: 'vmap', 'map', or 'alone' for a single run without that axis.
      shared: the frozen networks that all runs have in common, without that axis.
    """

    def vmapped(state, hparams, frozen, resident, xs, views):
        axes = {name: None if name in shared else 0 for name in frozen}
        return jax.vmap(chunk, in_axes=(0, 0, axes, None, 0, None))(state, hparams, frozen, resident, xs, views)

    def mapped(state, hparams, frozen, resident, xs, views):
        common = {name: tree for name, tree in frozen.items() if name in shared}
        own = {name: tree for name, tree in frozen.items() if name not in shared}

        def one(run):
            state, hparams, frozen, xs = run
            return chunk(state, hparams, {**common, **frozen}, resident, xs, views)

        return jax.lax.map(one, (state, hparams, own, xs))

    return {'vmap': vmapped, 'map': mapped, ALONE: chunk}[by]


def fastest(key: Any, trial: Callable[[str], tuple[Any, Callable[[], Any]]]) -> str:
    """The way that takes less time for a few steps on this machine; measured once a process for each `key`.

    A vmapped program that needs more than `TEMPORARY_BYTES` is not run.

    Args:
      key: what is packed.
      trial: way -> a compiled program of a few steps, and a function that runs it.
    """
    known = next((by for other, by in _fastest if other == key), None)
    if known:
        return known
    seconds = {}
    for by in WAYS:
        compiled, run = trial(by)
        if by == 'vmap' and compiled.memory_analysis().temp_size_in_bytes > TEMPORARY_BYTES:
            continue
        jax.block_until_ready(run())
        started = time.monotonic()
        jax.block_until_ready(run())
        seconds[by] = time.monotonic() - started
    best = min(seconds, key=lambda by: seconds[by])
    _fastest.append((key, best))
    return best
