"""Packs: runs that differ in seeds and numbers alone, stacked on a leading axis and trained as one program.

There are two ways over the stacked axis. 'vmap' takes the same step of every run at once, which serves small networks,
whose steps alone leave the machine idle. 'map' takes the runs one after another inside the program, each computing what
it computes alone.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kd_jax import initialize
from kd_jax import recipe as recipes
from kd_jax.data import pipeline
from kd_jax.errors import UserError, suggest
from kd_jax.job import Job

T = TypeVar('T')
ALONE = 'alone'
WAYS = ('vmap', 'map')
MOST = 64  # runs, each with files and threads of its own
STATE_BYTES = 2**30  # of the stacked states; their gradients take about as much again
DATA_BYTES = 2**31  # of the training sets, where each run has its own
OWN = ('analyses', 'networks', 'optimizer', 'terms')


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


def grouped(keys: Sequence[Any]) -> list[list[int]]:
    """The positions of equal keys together, in order of their first."""
    found: list[tuple[Any, list[int]]] = []
    for position, key in enumerate(keys):
        places = next((places for other, places in found if other == key), None)
        if places is None:
            found.append((key, places := []))
        places.append(position)
    return [places for _, places in found]


def divided(places: Sequence[T], most: int, least_parts: int = 1) -> list[list[T]]:
    """In order, parts of nearly one size of at most `most`, `least_parts` or more of them if there are so many."""
    parts = min(max(math.ceil(len(places) / most), least_parts), len(places))
    ends = [round(len(places) * part / parts) for part in range(parts + 1)]
    return [list(places[start:end]) for start, end in itertools.pairwise(ends)]


def partition(jobs: Sequence[Job], pack: Any) -> list[list[int]]:
    """The positions of jobs that may be one program: of one structure, with arrays of the same shapes."""
    if pack is False or len(jobs) == 1:
        return [[position] for position in range(len(jobs))]
    keys = []
    for job in jobs:
        arrays = {name: (a.shape, a.dtype) for name, a in job.splits.arrays['train'].items()} if job.resident else {}
        keys.append((structure(job.config, job.where), job.order.steps_per_epoch, arrays))
    parts = []
    for places in grouped(keys):
        splits = [jobs[i].splits.arrays['train'] for i in places]
        one = len(set(alike(splits))) == 1 and not jobs[places[0]].cache
        parts += divided(places, room(jobs[places[0]], 0 if one else data_bytes(jobs[places[0]])))
    return parts


def room(job: Job, data: int = 0) -> int:
    """How many runs like this may be one program, if each brings `data` bytes of its own.

    Streamed data is not packed, nor what is slow in a loop; several processes pack nothing.
    """
    if not job.resident or jax.process_count() > 1 or job.convolves_on_cpu:
        return 1
    return max(1, min(MOST, STATE_BYTES // max(1, state_bytes(job)), DATA_BYTES // max(1, data)))


def data_bytes(job: Job) -> int:
    """Size of a training set and of what is recorded for it."""
    arrays = jax.tree.leaves(job.splits.arrays['train'])
    return sum(array.nbytes for array in arrays) + (job.cache.what.size if job.cache else 0)


def with_known_data(job: Job, others: Sequence[Job]) -> Job:
    """The job with the arrays of another one for each split that is equal to its, so that they are there once."""
    if not (others and job.resident):
        return job
    arrays = {
        name: next((o.splits.arrays[name] for o in others if _equal(o.splits.arrays.get(name, {}), own)), own)
        for name, own in job.splits.arrays.items()
    }
    return dataclasses.replace(job, splits=dataclasses.replace(job.splits, arrays=arrays))


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


def in_common(frozen: Sequence[Mapping[str, Any]]) -> frozenset[str]:
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
