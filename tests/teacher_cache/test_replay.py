"""Training from recorded outputs equals training with the live networks; a cache that does not fit is refused."""

import json
import logging
import pathlib
import resource
import threading

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.arrays.random_keys import fold_in_name
from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError
from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from kd_jax.data.batches import evaluation_view, fetch_batch
from kd_jax.data.lazy_images import Images
from kd_jax.data.sources import Source
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.teacher_cache import array_store, recording
from kd_jax.teacher_cache.array_store import ArrayStore
from kd_jax.teacher_cache.replay import replay_outputs
from tests.train_one import train_run

CONFIG = str(pathlib.Path(__file__).parents[1] / 'tiny_config.py')
BATCH, SIZE = 25, 300


def cached(**options):
    return f'cache={options}'


def student(*overrides, seed=0, **networks):
    """A student's prepared run: 12 steps per epoch on 300 images; its teacher starts from a run."""
    config, _ = load_config(CONFIG, [f'runs.student.{text}' for text in overrides])
    run = config['runs']['student']
    for name, options in networks.items():
        run['networks'][name] = {**run['networks'][name], **options}
    return prepare_run(run, seed, "run 'student'")


def started(prepared, seed=0):
    """The frozen networks of a prepared run, with random values, and the key of its views."""
    state, frozen = init_state(prepared.recipe, prepared.context['batch'], seed)
    return frozen, fold_in_name(state.key, 'augment')


def replay(prepared, directory, seed=0, between=lambda: None):
    return replay_outputs(prepared.cache, *started(prepared, seed), directory, between)


def logits(arrays):
    return np.asarray(arrays[RECORDED]['teacher']['logits'][:])


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(array_store, 'PART_ROWS', 2 * BATCH)


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    config, _ = load_config(CONFIG, ['runs.teacher.epochs=0.5'])
    directory = tmp_path_factory.mktemp('teacher')
    train_run(prepare_run(config['runs']['teacher'], 0, 'teacher'), directory, {}, lambda *_: None)
    return directory


def trained(teacher, directory, *overrides, **options):
    """Trains a student for three epochs and returns every array of its state."""
    prepared = student('epochs=3', 'eval_every=3', 'data.views=2', *overrides)
    train_run(prepared, directory, {'teacher': teacher}, lambda *_: None, **options)
    with ocp.training.Checkpointer((directory / 'checkpoints').absolute()) as checkpointer:
        state = checkpointer.load_checkpointables(36)['state']
    return jax.tree.map(
        lambda a: jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else np.asarray(a), state
    )


@pytest.fixture(scope='module')
def live(teacher, tmp_path_factory):
    return trained(teacher, tmp_path_factory.mktemp('live'))


@pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
@pytest.mark.parametrize(('read', 'resident'), [('memory', True), ('memory', False), ('disk', True)])
def test_training_from_the_cache_is_live_training_bit_for_bit(read, resident, teacher, live, tmp_path):
    """The run has random crops, dropout and more epochs than views."""
    replayed = trained(teacher, tmp_path, cached(read=read), f'data.resident={resident}')
    jax.tree.map(np.testing.assert_array_equal, replayed, live)
    manifest = json.loads(next(tmp_path.glob('caches/*/manifest.json')).read_text())
    assert manifest['done'] == manifest['parts'] == 2


@pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
def test_students_of_one_teacher_pay_for_it_once(teacher, tmp_path, monkeypatch):
    trained(teacher, tmp_path / 'first', 'cache=True', caches=tmp_path)
    monkeypatch.setattr(recording, 'record_parts', None)
    hot = trained(teacher, tmp_path / 'hot', 'cache=True', 'terms.soft.t=20.0', caches=tmp_path)
    monkeypatch.undo()
    jax.tree.map(np.testing.assert_array_equal, hot, trained(teacher, tmp_path / 'live', 'terms.soft.t=20.0'))


def test_a_recorded_network_does_not_run(tmp_path):
    prepared = student('cache=True', 'data.views=1')
    recorded = replay(prepared, tmp_path)
    state, frozen = init_state(prepared.recipe, prepared.context['batch'], 0)
    nothing = jax.tree.map(lambda a: np.full(a.shape, np.nan, a.dtype), frozen)
    batch = evaluation_view(fetch_batch(recorded, np.arange(BATCH)))
    _, metrics = jax.jit(make_train_step(prepared.recipe, 10))(state, prepared.recipe.hparams, nothing, batch)
    assert np.isfinite(metrics['soft'][0])


@pytest.mark.parametrize('copies', [0, 3])
def test_the_record_holds_what_terms_read_of_every_example_in_every_view(copies, tmp_path):
    prepared = student('cache=True', 'data.views=2', teacher={'copies': copies})
    recorded = replay(prepared, tmp_path)[RECORDED]
    assert {(network, name) for network, of in recorded.items() for name in of} == {('teacher', 'logits')}
    found = recorded['teacher']['logits']
    assert found.shape == (2, SIZE, *[copies] * bool(copies), 10)
    frozen, key = started(prepared)
    shifted = prepared.view(fetch_batch(prepared.splits.arrays['train'], np.array([7, 8])), key, jnp.int32(1))['image'][
        :1
    ]
    own = jax.tree.map(lambda a: a[1], frozen['teacher']) if copies else frozen['teacher']
    alone = prepared.recipe.network('teacher').module.apply(own, shifted)['logits']
    np.testing.assert_allclose(found[1, 7, 1] if copies else found[1, 7], alone[0], rtol=1e-4, atol=1e-6)


def files():
    """A source of images of different sizes that are read one by one, as from files."""
    rng = np.random.default_rng(0)
    examples = [{'image': rng.integers(0, 256, (9, 8 + i % 5, 3), np.uint8), 'label': i % 10} for i in range(60)]
    split = {'image': Images(examples, 'files', num_classes=10, size=6, resize=8)}
    return Source(split, split, 10)


def test_images_from_files_are_recorded_as_training_crops_them(tmp_path):
    config = dict(student(cached(read='disk'), 'data.views=1').config)
    config['data'] = {'source': files, 'augment': {'resized_crop': 0.3, 'flip': True}, 'views': 2}
    prepared = prepare_run(config, 0, "run 'student'")
    arrays, (frozen, key) = replay(prepared, tmp_path), started(prepared)
    rows, view = np.array([3, 59, 0, 17]), np.int32(1)
    batch = fetch_batch(arrays, rows, view)
    seen = prepared.view({name: batch[name] for name in ('image', 'label', 'id')}, key, view)
    wanted = prepared.recipe.network('teacher').module.apply(frozen['teacher'], seen['image'])['logits']
    np.testing.assert_allclose(batch[RECORDED]['teacher']['logits'], wanted, rtol=1e-4, atol=1e-6)
    assert not np.allclose(wanted, fetch_batch(arrays, rows, np.int32(0))[RECORDED]['teacher']['logits'])


def test_epoch_e_sees_view_e_modulo_views():
    prepared = student('data.views=3')
    assert prepared.order.steps_per_epoch == 12
    assert prepared.order.steps(0, 60)[1].tolist() == [0] * 12 + [1] * 12 + [2] * 12 + [0] * 12 + [1] * 12
    assert student().order.steps(48, 1)[1] == [4]
    assert student('data.augment.crop=0').order.steps(48, 1)[1] == [0]  # without augmentation there is one view


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


@pytest.mark.parametrize(
    ('overrides', 'seed', 'differs'),
    [
        ((), 1, r'parameters\.teacher differs;'),
        (('data.examples=275',), 0, r'data\.\w+ differs;'),
        (('data.augment.crop=1',), 0, r'augmentation\.crop differs \(2 in the cache, 1 in this run\);'),
        (('data.views=1',), 0, r'views differs \(2 in the cache, 1 in this run\);'),
        (('batch_size=30',), 0, r'batch_size differs \(25 in the cache, 30 in this run\);'),
    ],
)
def test_a_stale_or_foreign_cache_is_refused_by_what_differs(overrides, seed, differs, tmp_path):
    path = cached(path=str(tmp_path / 'shared'))
    replay(student('data.views=2', path), tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
    with pytest.raises(UserError, match=f"run 'student': the cache .*shared does not fit this run: {differs}"):
        replay(student('data.views=2', path, *overrides), tmp_path, seed=seed)
    assert {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()} == before


def test_views_are_those_of_the_seed_but_the_plain_view_is_of_none(tmp_path):
    path = cached(path=str(tmp_path / 'plain'))
    everything = ('data.examples=0', 'data.augment.crop=0', path)
    first = logits(replay_outputs(student(*everything).cache, *started(student()), tmp_path, lambda: None))
    second = logits(replay_outputs(student(*everything, seed=1).cache, *started(student()), tmp_path, lambda: None))
    np.testing.assert_array_equal(first, second)
    path = cached(path=str(tmp_path / 'cropped'))
    replay(student('data.views=1', 'data.examples=0', path), tmp_path)
    with pytest.raises(UserError, match=r'seed differs \(0 in the cache, 1 in this run\)'):
        replay(student('data.views=1', 'data.examples=0', path, seed=1), tmp_path)


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
    with pytest.raises(UserError, match=f'{tmp_path} holds other files but no cache; choose another cache.path'):
        replay(student('data.views=1', cached(path=str(tmp_path))), tmp_path)
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


def test_size_and_time_are_told_before_anything_is_written(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, 'kd_jax')
    told = []
    monkeypatch.setattr(ArrayStore, 'write', lambda *_: told.append(caplog.text))
    prepared = student(cached(read='disk'), 'data.views=2')
    replay(prepared, tmp_path)
    # The size is 2 views * 300 examples * 10 classes * 4 bytes.
    assert 'recording teacher.logits for 300 examples, 2 views each: 0.024 MB, about' in told[0]


def cut(k, t, *overrides):
    """A student that learns from its teacher's k largest probabilities: batches of 25 examples, one view of each."""
    config = dict(student('data.views=1', 'cache=True', *overrides).config)
    top = {'model': 'top_k', 'input': 'teacher.logits', 'update': 'frozen', 'k': k, 't': t}
    reads = {'student': 'student.logits', 'log_probs': 'top.log_probs', 'classes': 'top.classes', 't': 'top.t'}
    config['networks'] = {**config['networks'], 'top': top}
    config['terms'] = {'soft': {'loss': 'kd_top_k', **reads}}
    return prepare_run(config, 0, "run 'student'")


def test_of_a_teacher_cut_to_its_top_classes_nothing_else_is_recorded(tmp_path):
    prepared = cut(3, 2.0)
    recorded = replay(prepared, tmp_path)
    assert {network: set(of) for network, of in recorded[RECORDED].items()} == {'top': {'log_probs', 'classes', 't'}}
    # Bytes: the log-probabilities of three classes and of the rest, three class numbers, and the temperature.
    assert prepared.cache.what.size == SIZE * ((3 + 1) * 4 + 3 + 4)
    np.testing.assert_allclose(np.exp(recorded[RECORDED]['top']['log_probs']).sum(axis=-1), 1.0, rtol=1e-5)
    state, frozen = init_state(prepared.recipe, prepared.context['batch'], 0)
    key, view, rows = fold_in_name(state.key, 'augment'), np.int32(0), np.arange(40, 40 + BATCH)
    train_step = jax.jit(make_train_step(prepared.recipe, 10))
    ends = [
        train_step(state, prepared.recipe.hparams, frozen, prepared.view(fetch_batch(arrays, rows, view), key, view))[0]
        for arrays in (recorded, prepared.splits.arrays['train'])
    ]
    jax.tree.map(np.testing.assert_array_equal, *(end.params for end in ends))


def test_targets_of_another_temperature_are_refused(tmp_path):
    path = cached(path=str(tmp_path / 'shared'))
    replay(cut(3, 2.0, path), tmp_path)
    with pytest.raises(UserError, match=r'networks\.top\.t differs \(2\.0 in the cache, 4\.0 in this run\)'):
        replay(cut(3, 4.0, path), tmp_path)


class Seated(nn.Module):
    """A model whose logits depend on the place of an example in the batch."""

    @nn.compact
    def __call__(self, x, *, train=False):
        place = jnp.arange(x.shape[0], dtype=jnp.float32)[:, None]
        return {'logits': nn.Dense(10)(x.reshape(x.shape[0], -1)) * 0.0 + place / 64.0}


def test_outputs_that_depend_on_the_place_in_the_batch_are_told(tmp_path, caplog):
    caplog.set_level(logging.WARNING, 'kd_jax')  # an earlier test of the command line may have set a lower level
    prepared = student('cache=True', 'data.views=1')
    config = {**prepared.config, 'networks': {**prepared.config['networks']}}
    config['networks']['teacher'] = {'model': Seated, 'update': 'frozen', 'init': 'run:teacher'}
    replay(prepare_run(config, 0, 'seated'), tmp_path)
    assert f'by up to {24 / 64:.2g}; training from the cache equals' in caplog.text
    caplog.clear()
    replay(prepared, tmp_path)
    assert not caplog.text


def test_outputs_that_are_no_numbers_are_not_recorded(tmp_path):
    prepared = student('cache=True', 'data.views=1')
    frozen, key = started(prepared)
    nothing = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), frozen)
    with pytest.raises(UserError, match=r"'teacher\.logits' is NaN"):
        replay_outputs(prepared.cache, nothing, key, tmp_path, lambda: None)
    huge, half = jax.tree.map(lambda a: 1e6 * a, frozen), student(cached(dtype='float16'), 'data.views=1')
    with pytest.raises(UserError, match=r"'teacher\.logits' is too large for float16; set cache.dtype='bfloat16'"):
        replay_outputs(half.cache, huge, key, tmp_path, lambda: None)


@pytest.mark.parametrize(
    ('overrides', 'told'),
    [
        (('cache=True',), r'cache: with a new view of each image .* set data\.views'),
        (('cache=3', 'data.views=1'), 'cache is 3, but it must be True, False or a dictionary'),
        (('cache={"dtpye": "float16"}', 'data.views=1'), "cache: there is no option 'dtpye'. Did you mean 'dtype'"),
        (('cache={"dtype": "int8"}', 'data.views=1'), "cache: there is no dtype 'int8'"),
        (('cache={"read": "tape"}', 'data.views=1'), "cache: there is no read 'tape'"),
        (('cache={"path": "ftp://there/x"}', 'data.views=1'), 'the cache ftp://there/x could not be opened'),
        (('cache=True', 'data.views=-1'), 'data.views is -1'),
    ],
)
def test_mistakes_are_told_before_training(overrides, told):
    with pytest.raises(UserError, match=told):
        student(*overrides)


def test_a_run_without_frozen_networks_has_nothing_to_record():
    config, _ = load_config(CONFIG, ['runs.teacher.cache=True', 'runs.teacher.data.views=1'])
    with pytest.raises(UserError, match='nothing reads the output of a frozen network'):
        prepare_run(config['runs']['teacher'], 0, "run 'teacher'")
