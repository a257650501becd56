"""Recorded outputs on disk: writers that are killed, damage, full disks, other precisions."""

import json
import os
import resource
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.batches import fetch_batch
from kd_jax.teacher_cache import array_store
from tests.small_caches import BATCH, SIZE, cached, logits, replay, student


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(array_store, 'PART_ROWS', 2 * BATCH)


def test_a_killed_writer_goes_on_where_it_stopped(small_parts, tmp_path):
    prepared = student('cache=True', 'data.views=2')
    assert prepared.cache.what.layout.count == 12
    written = []

    def between():
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(0)

    with pytest.raises(KeyboardInterrupt):
        replay(prepared, tmp_path, between=between)
    assert json.loads(next(tmp_path.glob('*/manifest.json')).read_text())['done'] == 5
    left = []
    resumed = replay(prepared, tmp_path, between=lambda: left.append(0))
    assert len(left) == 12 - 5
    np.testing.assert_array_equal(logits(resumed), logits(replay(prepared, tmp_path / 'whole')))


def test_of_two_runs_that_start_at_once_one_records(small_parts, tmp_path):
    prepared, written, results = student('cache=True', 'data.views=1'), [], []

    def record():
        results.append(logits(replay(prepared, tmp_path, between=lambda: written.append(0))))

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == prepared.cache.what.layout.count == 6
    np.testing.assert_array_equal(*results)


def damaged(path, how):
    if how == 'missing':
        path.unlink()
    else:
        whole = path.read_bytes()
        changed = whole[:-40] if how == 'truncated' else whole[:50] + bytes([whole[50] ^ 1]) + whole[51:]
        path.write_bytes(changed)


@pytest.mark.parametrize('how', ['missing', 'truncated', 'flipped bit'])
@pytest.mark.parametrize('read', ['memory', 'disk'])
def test_damage_is_told_and_never_read(how, read, small_parts, tmp_path):
    prepared = student(cached(read=read), 'data.views=1')
    replay(prepared, tmp_path)
    damaged(next(tmp_path.glob('*/teacher.logits/c/0/3/**/0')), how)
    with pytest.raises(UserError, match=r'the cache .* could not be read .*delete it and run the same command again'):
        fetch_batch(replay(prepared, tmp_path), np.arange(SIZE))


def test_a_full_disk_is_told_and_what_is_whole_is_kept(tmp_path):
    prepared, before, begun = student('cache=True', 'data.views=2'), resource.getrlimit(resource.RLIMIT_FSIZE), []

    def fill_the_disk():
        begun.append(0)
        if len(begun) == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))  # less than a part of 300 * 10 * 4 bytes

    try:
        with pytest.raises(UserError, match=r'the cache .* could not be written .*free some disk space'):
            replay(prepared, tmp_path, between=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert json.loads(next(tmp_path.glob('*/manifest.json')).read_text())['done'] == 1
    np.testing.assert_array_equal(logits(replay(prepared, tmp_path)), logits(replay(prepared, tmp_path / 'whole')))


def test_a_directory_of_other_files_is_left_alone(tmp_path):
    (tmp_path / 'thesis.tex').write_text('mine')
    with pytest.raises(UserError, match=f'{tmp_path} holds other files but no cache, as manifest.json is'):
        array_store.ArrayStore(str(tmp_path)).manifest()
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_sixteen_bits_take_half_the_room_and_round_to_their_precision(tmp_path):
    full = replay(student('cache=True', 'data.views=1'), tmp_path)
    for dtype, digits in (('bfloat16', 8), ('float16', 11)):
        prepared = student(cached(dtype=dtype), 'data.views=1')
        assert prepared.cache.what.size == SIZE * 10 * 2
        rounded = logits(replay(prepared, tmp_path))
        assert rounded.dtype == np.float32
        np.testing.assert_array_equal(rounded, logits(full).astype(jnp.dtype(dtype)).astype(np.float32))
        np.testing.assert_allclose(rounded, logits(full), rtol=2.0**-digits, atol=1e-7)


LAYOUT = array_store.Layout(views=1, examples=4, rows=2)


def stored(directory):
    """A cache of one array [1, 4, 3], and the array."""
    store, values = array_store.ArrayStore(str(directory)), np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    with store.locked():
        array = store.create('t.logits', (3,), np.float32, LAYOUT)
        for number in range(LAYOUT.count):
            view, start, stop = LAYOUT.part(number)
            store.write(array, (view, start, stop), values[view, start:stop])
        store.commit({'done': 2, 'parts': 2, 'fingerprint': {}})
    return store, values


def read(store):
    return store.rows('t.logits', (3,), np.float32, LAYOUT, np.float32)[:]


@pytest.mark.parametrize(
    'other',
    [
        {'shape': [1, 2**40, 3]},
        {'data_type': 'float64'},
        {'chunk_grid': {'name': 'regular', 'configuration': {'chunk_shape': [1, 2**40, 3]}}},
        {'codecs': [{'name': 'bytes', 'configuration': {'endian': 'little'}}, {'name': 'gzip'}]},
    ],
)
def test_an_array_that_claims_something_else_than_was_recorded_is_not_read(other, tmp_path):
    store, values = stored(tmp_path / 'cache')
    np.testing.assert_array_equal(read(store), values)
    path = tmp_path / 'cache' / 't.logits' / 'zarr.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    with pytest.raises(UserError, match=r'the cache .* could not be read .*; delete it and run the same command again'):
        read(array_store.ArrayStore(str(tmp_path / 'cache')))


def test_links_fifos_and_strange_manifests_are_refused(tmp_path):
    store, _ = stored(tmp_path / 'cache')
    manifest = tmp_path / 'cache' / 'manifest.json'
    for content in (b'[' * 5000, b'[1]', b'{"done": 1}', b'', b'\xff', b' ' * 2**21):
        manifest.write_bytes(content)
        with pytest.raises(
            UserError, match=f'{tmp_path}/cache(/manifest.json (is damaged|has 2,097,152)| could not be read)'
        ):
            store.manifest()
    manifest.unlink()
    os.mkfifo(manifest)
    with pytest.raises(UserError, match=r'manifest.json is a FIFO'):
        store.manifest()
    manifest.unlink()
    (tmp_path / 'precious').write_text('mine')
    for name in ('manifest.json', '.lock'):
        (tmp_path / 'cache' / name).unlink(missing_ok=True)
        (tmp_path / 'cache' / name).symlink_to(tmp_path / 'precious')
        with pytest.raises(UserError, match=f'{name} is a symbolic link'), store.locked():
            pass
        (tmp_path / 'cache' / name).unlink()
    assert (tmp_path / 'precious').read_text() == 'mine'


def test_a_path_to_a_file_is_refused_and_one_that_reads_as_a_pattern_or_an_address_is_a_path(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file is a file, not a directory; choose another cache.path'):
        array_store.ArrayStore(str(tmp_path / 'file'))
    for name in ('a [b]*?', 'a#b', 'a%20b', 'a|b', 'ü', "a'b"):
        _, values = stored(tmp_path / name)
        np.testing.assert_array_equal(read(array_store.ArrayStore(str(tmp_path / name))), values)
        assert (tmp_path / name / 'manifest.json').exists()
