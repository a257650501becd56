import contextlib
import itertools
import threading

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data import read_ahead
from kd_jax.data.batches import fetch_batch
from kd_jax.data.example_order import ExampleOrder
from kd_jax.data.lazy_images import Images
from kd_jax.data.read_ahead import prefetch, read_batches, stack_batches
from kd_jax.data.splits import load_splits


def streamed(directory, **options):
    config = {'source': 'tfds_images', 'name': 'squares', 'data_dir': directory, 'test': 'validation', 'size': 8}
    return load_splits({**config, 'resize': 10, 'augment': {'resized_crop': 0.2}, **options}, 0)


def by_step(order):
    return lambda step: (order.steps(step, 1)[0][0], order.steps(step, 1)[1][0])


@pytest.mark.parametrize('first', [0, 3, 9])
def test_batches_read_ahead_are_those_that_are_fetched_from_wherever_the_stream_begins(image_files, first):
    loaded = streamed(image_files)
    order = ExampleOrder(loaded, 6, 0)
    arrays = loaded.arrays['train']
    read = list(read_batches(arrays, by_step(order), first, 11))
    assert len(read) == 11 - first
    for step, batch in enumerate(read, first):
        positions, epochs = order.steps(step, 1)
        wanted = fetch_batch(arrays, positions[0], epochs[0])
        assert batch.keys() == wanted.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], wanted[name])


def test_batches_read_by_processes_are_those_read_by_threads(image_files):
    read = []
    for workers in (0, 1):
        loaded = streamed(image_files, workers=workers)
        with contextlib.closing(
            read_batches(loaded.arrays['train'], by_step(ExampleOrder(loaded, 6, 0)), 2, 5)
        ) as batches:
            read.append([{name: np.array(array) for name, array in batch.items()} for batch in batches])
    for one, other in zip(*read, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_batches_of_arrays_in_memory_are_streamed_the_same_way():
    arrays = {'image': np.arange(24).reshape(12, 2), 'id': np.arange(12)}
    read = read_batches(arrays, lambda i: (np.array([i, 11 - i]), None), 2, 5)
    together = stack_batches(read, 3)
    np.testing.assert_array_equal(together['id'], [[2, 9], [3, 8], [4, 7]])
    np.testing.assert_array_equal(together['image'][1], [[6, 7], [16, 17]])


def test_an_example_that_cannot_be_read_stops_the_stream_where_it_is_needed():
    good = {'image': np.zeros((9, 9, 3), np.uint8), 'label': 0}
    arrays = {'image': Images([good] * 7 + [{}], 'made', 1, 8, 8), 'id': np.arange(8)}
    read = read_batches(arrays, lambda i: (np.array([i]), None), 0, 8)
    assert len(list(itertools.islice(read, 7))) == 7
    with pytest.raises(UserError, match=r"made: example 7 cannot be read \('image'\)"):
        next(read)


def test_a_stream_that_is_closed_leaves_no_thread_behind():
    good = {'image': np.zeros((9, 9, 3), np.uint8), 'label': 0}
    arrays = {'image': Images([good] * 50, 'made', 1, 8, 8), 'id': np.arange(50)}
    before = set(threading.enumerate())
    read = read_batches(arrays, lambda i: (np.array([i]), None), 0, 50)
    items = prefetch(read)
    next(items)
    items.close()
    read.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_the_next_item_is_made_while_one_is_used_and_no_more():
    made = []
    second = threading.Event()

    def items():
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = prefetch(items())
    assert next(ahead) == 0
    assert second.wait(timeout=30)
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]


def test_what_making_an_item_raises_is_raised_in_its_place():
    def items():
        yield 1
        raise UserError('the second is broken')

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(UserError, match='the second is broken'):
        next(ahead)


def test_as_many_steps_go_to_the_devices_at_once_as_fit(monkeypatch):
    arrays = {'image': np.zeros((4, 10, 10, 3), np.uint8), 'id': np.zeros(4, np.int32)}  # 304 bytes per example
    monkeypatch.setattr(read_ahead, 'AT_ONCE', 304 * 8 * 5 + 1)
    assert read_ahead.steps_at_once(arrays, 8, 128) == 5
    assert read_ahead.steps_at_once(arrays, 8, 3) == 3
    assert read_ahead.steps_at_once(arrays, 80, 128) == 1
