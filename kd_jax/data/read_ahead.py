"""Reads batches ahead of training, in threads or processes, with Grain."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import numpy as np

from kd_jax.data.batches import example_bytes, fetch_batch
from kd_jax.data.source import ReadFromFiles

T = TypeVar('T')
Batch = dict[str, Any]
AHEAD = 2**30  # largest number of bytes that are read ahead
AT_ONCE = 2**28  # largest number of bytes that are sent to the devices together


@dataclasses.dataclass(frozen=True)
class _Fetch:
    arrays: Mapping[str, Any]
    at: Callable[[int], tuple[np.ndarray, Any]]

    def __call__(self, number: int) -> Batch:
        positions, views = self.at(int(number))
        return fetch_batch(self.arrays, positions, views)


def read_batches(
    arrays: Mapping[str, Any], at: Callable[[int], tuple[np.ndarray, Any]], first: int, last: int
) -> Generator[Batch]:
    """Yields the batches `first` to `last` - 1 in order, as `fetch_batch` returns them; reads examples of files ahead.

    Args:
      arrays: arrays of a split.
      at: maps the number of a batch to its positions and views.
      first: number of the first batch.
      last: one more than the number of the last batch.
    Raises:
      UserError: an example cannot be read.
    """
    fetch = _Fetch(arrays, at)
    streamed = [array for array in arrays.values() if isinstance(array, ReadFromFiles)]
    if first >= last or not streamed:
        yield from map(fetch, range(first, last))
        return
    import grain
    from absl import flags

    each = example_bytes(arrays) * len(at(first)[0])
    workers = streamed[0].workers
    ahead = max(2, min(32, AHEAD // each) // max(1, workers))
    threads = max(1, (os.cpu_count() or 1) // max(1, workers))
    options = grain.ReadOptions(num_threads=min(ahead, threads), prefetch_buffer_size=ahead)
    read = grain.MapDataset.range(first, last).map(fetch).to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # Grain's processes read absl's flags; defaults suffice.
        read = read.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    iterator = iter(read)
    try:
        yield from iterator
    finally:
        iterator.close()


def stack_batches(batches: Iterator[Batch], count: int) -> Batch:
    """Stacks the next `count` batches along a new leading axis."""
    return jax.tree.map(lambda *arrays: np.stack(arrays), *itertools.islice(batches, count))


def steps_at_once(arrays: Mapping[str, Any], rows: int, most: int) -> int:
    """Returns for how many steps a process sends batches of `rows` examples together, between 1 and `most`."""
    return max(1, min(most, AT_ONCE // (example_bytes(arrays) * rows)))


def prefetch(items: Iterator[T]) -> Generator[T]:
    """Yields the items; a thread makes the next one while one is used. Its exceptions are raised here."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix='ahead') as pool:
        waiting = pool.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
