"""The record holds what terms read of every example in every view, as training computes it."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.config.errors import UserError
from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from kd_jax.data import sources
from kd_jax.data.batches import evaluation_view, fetch_batch
from kd_jax.data.lazy_images import Images
from kd_jax.data.sources import Source
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.teacher_cache.array_store import ArrayStore
from kd_jax.teacher_cache.recording import fingerprint
from kd_jax.teacher_cache.replay import replay_outputs
from tests.small_caches import BATCH, SIZE, cached, logits, replay, started, student


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


def test_an_image_that_was_replaced_in_a_folder_is_recorded_anew(tmp_path):
    def found():
        """What the record of a teacher that reads the folder depends on, as a new process finds it."""
        sources.image_folder.cache_clear()
        data = {'source': 'image_folder', 'path': str(tmp_path / 'images'), 'size': 8, 'resize': 8, 'views': 1}
        model = {'model': 'mlp', 'hidden': (4,), 'num_classes': 2}
        config = {
            'data': data, 'batch_size': 16, 'epochs': 2, 'optimizer': {'learning_rate': 0.1}, 'cache': True,
            'networks': {'teacher': {**model, 'update': 'frozen', 'init': 'run:teacher'}, 'student': model},
            'terms': {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0}},
        }  # fmt: skip
        prepared = prepare_run(config, 0, "run 'student'")
        return fingerprint(prepared.cache.what, *started(prepared))

    for name in ('a', 'b'):
        (tmp_path / 'images' / name).mkdir(parents=True)
        for number in range(40):
            Image.new('RGB', (8, 8), (number, 0, 0)).save(tmp_path / f'images/{name}/{number:02d}.bmp')
    before = found()
    assert found() == before
    Image.new('RGB', (8, 8), (255, 255, 255)).save(tmp_path / 'images/a/02.bmp')  # none of the images that are sampled
    assert found() != before


def test_views_are_those_of_the_seed_but_the_plain_view_is_of_none(tmp_path):
    path = cached(path=str(tmp_path / 'plain'))
    everything = ('data.examples=0', 'data.augment.crop=0', path)
    first = logits(replay_outputs(student(*everything).cache, *started(student()), tmp_path, lambda: None))
    second = logits(replay_outputs(student(*everything, seed=1).cache, *started(student()), tmp_path, lambda: None))
    np.testing.assert_array_equal(first, second)
    assert len(list((tmp_path / 'plain').iterdir())) == 1
    path = cached(path=str(tmp_path / 'cropped'))
    for seed in (0, 1):
        cropped = student('data.views=1', 'data.examples=0', path, seed=seed)
        replay_outputs(cropped.cache, *started(student()), tmp_path, lambda: None)
    assert len(list((tmp_path / 'cropped').iterdir())) == 2


def test_size_and_time_are_told_before_anything_is_written(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, 'kd_jax')
    told = []
    monkeypatch.setattr(ArrayStore, 'write', lambda *_: told.append(caplog.text))
    prepared = student(cached(read='disk'), 'data.views=2')
    replay(prepared, tmp_path)
    # The size is 2 views * 300 examples * 10 classes * 4 bytes.
    assert 'recording teacher.logits for 300 examples, 2 views each: 0.024 MB, about' in told[0]


def test_of_text_the_bytes_of_a_token_are_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, 'kd_jax')
    file = tmp_path / 'a.jsonl'
    file.write_text('{"text": "abcdefgh"}\n' * 8)
    reads = {'input': 'batch.tokens', 'vocabulary': 260, 'width': 4, 'layers': 1, 'heads': 2, 'mlp_width': 4}
    networks = {
        'teacher': {'model': 'decoder', 'update': 'frozen', 'init': 'run:teacher', **reads},
        'top': {'model': 'top_k', 'input': 'teacher.logits', 'update': 'frozen', 'k': 16},
        'student': {'model': 'decoder', **reads},
    }
    terms = {
        'soft': {
            'loss': 'kd_top_k', 'student': 'student.logits', 'log_probs': 'top.log_probs', 'classes': 'top.classes',
            't': 'top.t', 'mask': 'batch.mask',
        },
        'hidden': {
            'loss': 'cosine', 'student': 'student.hidden1', 'target': 'teacher.hidden1', 'mask': 'batch.segment',
        },
    }  # fmt: skip
    data = {'source': 'text', 'documents': str(file), 'length': 16}
    evaluate = {'student': {'metrics': 'sequences', 'logits': 'student.logits'}}
    config = {
        'data': data, 'batch_size': 2, 'epochs': 1, 'optimizer': {'learning_rate': 0.1}, 'cache': {'dtype': 'bfloat16'},
        'networks': networks, 'terms': terms, 'evaluate': evaluate,
    }  # fmt: skip
    whole = replay(prepare_run(config, 0, 'text'), tmp_path / 'whole')
    # 17 log-probabilities, the temperature and 4 channels of 2 bytes each, and 16 tokens below 65,536 of 2 bytes.
    assert ' (76 bytes a token), about' in caplog.text
    caplog.clear()
    lazy = prepare_run(config | {'data': data | {'in_memory': False}}, 0, 'text')
    jax.tree.map(np.testing.assert_array_equal, replay(lazy, tmp_path / 'lazy')[RECORDED], whole[RECORDED])
    assert ' (76 bytes a token), about' in caplog.text


def test_outputs_that_are_no_numbers_are_not_recorded(tmp_path):
    prepared = student('cache=True', 'data.views=1')
    frozen, key = started(prepared)
    nothing = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), frozen)
    with pytest.raises(UserError, match=r"'teacher\.logits' is NaN"):
        replay_outputs(prepared.cache, nothing, key, tmp_path, lambda: None)
    huge, half = jax.tree.map(lambda a: 1e6 * a, frozen), student(cached(dtype='float16'), 'data.views=1')
    with pytest.raises(UserError, match=r"'teacher\.logits' is too large for float16; set cache.dtype='bfloat16'"):
        replay_outputs(half.cache, huge, key, tmp_path, lambda: None)
