"""Training from recorded outputs is training with the live networks, bit for bit."""

import json
import shutil

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
from kd_jax.data.batches import fetch_batch
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.teacher_cache import recording
from kd_jax.teacher_cache import replay as replay_module
from tests.small_caches import BATCH, CONFIG, SIZE, cached, cut, logits, replay, student
from tests.train_one import train_run


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
def test_with_products_in_bfloat16_cache_and_live_teacher_are_the_same_too(teacher, live, tmp_path):
    rounded = 'matmul_precision=bfloat16'
    replayed, lived = (trained(teacher, tmp_path / c, f'cache={c}', rounded) for c in ('True', 'False'))
    jax.tree.map(np.testing.assert_array_equal, replayed, lived)
    a, b = (np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(s['params']['student'])]) for s in (lived, live))
    assert np.abs(a - b).max() > 1e-6  # rounding shows


@pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning')
def test_students_of_one_teacher_pay_for_it_once(teacher, tmp_path, monkeypatch):
    trained(teacher, tmp_path / 'first', 'cache=True', caches=tmp_path)
    monkeypatch.setattr(recording, 'record_parts', None)
    hot = trained(teacher, tmp_path / 'hot', 'cache=True', 'terms.soft.t=20.0', caches=tmp_path)
    monkeypatch.undo()
    jax.tree.map(np.testing.assert_array_equal, hot, trained(teacher, tmp_path / 'live', 'terms.soft.t=20.0'))


@pytest.mark.parametrize(
    ('overrides', 'seed'),
    [
        ((), 1),
        (('data.examples=275',), 0),
        (('data.augment.crop=1',), 0),
        (('data.views=1',), 0),
        (('batch_size=30',), 0),
    ],
)
def test_below_one_path_runs_with_other_outputs_have_caches_of_their_own(overrides, seed, tmp_path, monkeypatch):
    path, work = cached(path=str(tmp_path / 'shared')), tmp_path / 'work'
    first = logits(replay(student('data.views=2', path), work))
    before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
    other = student('data.views=2', path, *overrides)
    own = logits(replay(other, work, seed=seed))
    np.testing.assert_array_equal(
        own, logits(replay(student('data.views=2', 'cache=True', *overrides), work, seed=seed))
    )
    assert {p: p.read_bytes() for p in before} == before
    assert len(list((tmp_path / 'shared').iterdir())) == 2
    monkeypatch.setattr(replay_module, 'record_parts', None)  # both are there
    np.testing.assert_array_equal(first, logits(replay(student('data.views=2', path), work)))
    np.testing.assert_array_equal(own, logits(replay(other, work, seed=seed)))


def test_targets_of_another_temperature_are_recorded_apart(tmp_path):
    path = cached(path=str(tmp_path))
    cold, hot = (replay(cut(3, t, path), tmp_path / 'work')[RECORDED]['top']['log_probs'] for t in (2.0, 4.0))
    assert np.abs(cold - hot).max() > 1e-3
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cache_that_was_moved_to_the_name_of_another_is_refused(tmp_path):
    prepared = student('data.views=1', 'cache=True')
    for seed in (0, 1):
        replay(prepared, tmp_path / str(seed), seed=seed)
    (named,), (other,) = (list((tmp_path / str(seed)).iterdir()) for seed in (0, 1))
    shutil.rmtree(named)
    shutil.copytree(other, named)
    with pytest.raises(UserError, match=f"run 'student': the cache {named} was recorded from something else"):
        replay(prepared, tmp_path / '0', seed=0)


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
