"""Replayed outputs of a frozen network are the live ones."""

import jax
import numpy as np
import pytest

from kd_jax import cache, initialize, recipe, step
from kd_jax.data import pipeline
from kd_jax.evaluate import Evaluator

BATCH = 4


def arrays(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (count, 5, 5)).astype(np.uint8)
    return {'image': image, 'label': rng.integers(0, 3, count).astype(np.int32), 'id': np.arange(count, dtype=np.int32)}


def taught(copies: int) -> recipe.Recipe:
    net = {'model': 'mlp', 'hidden': (6,), 'num_classes': 3}
    return recipe.parse(
        {
            'networks': {'teacher': {**net, 'update': 'frozen', 'copies': copies}, 'student': net},
            'terms': {'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0}},
            'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
        }
    )


@pytest.mark.parametrize('copies', [0, 3])
def test_a_step_from_the_cache_is_the_live_step_bit_for_bit(copies):
    made, data = taught(copies), arrays(10)
    live = pipeline.plain_view(pipeline.fetch(data, np.arange(BATCH)))
    state, frozen = initialize.init_state(made, live, seed=0)
    recorded = cache.record(Evaluator(made, {}), step.variables(state, frozen), data, BATCH)
    replayed = pipeline.plain_view(pipeline.fetch(recorded, np.arange(BATCH)))
    train_step = jax.jit(step.make_train_step(made, 10))
    one = train_step(state, made.hparams, frozen, live)
    other = train_step(state, made.hparams, frozen, replayed)
    jax.tree.map(np.testing.assert_array_equal, one[0]._replace(key=0), other[0]._replace(key=0))


def test_a_recorded_network_does_not_run():
    made, data = taught(0), arrays(10)
    batch = pipeline.plain_view(pipeline.fetch(data, np.arange(BATCH)))
    state, frozen = initialize.init_state(made, batch, seed=0)
    recorded = cache.record(Evaluator(made, {}), step.variables(state, frozen), data, BATCH)
    nothing = jax.tree.map(lambda a: np.full(a.shape, np.nan, a.dtype), frozen)
    replayed = pipeline.plain_view(pipeline.fetch(recorded, np.arange(BATCH)))
    _, metrics = step.make_train_step(made, 10)(state, made.hparams, nothing, replayed)
    assert np.isfinite(metrics['soft'][0])


def test_the_record_holds_what_terms_read_for_every_example_in_order():
    made, data = taught(3), arrays(10)
    state, frozen = initialize.init_state(made, pipeline.plain_view(pipeline.fetch(data, np.arange(BATCH))), seed=0)
    recorded = cache.record(Evaluator(made, {}), step.variables(state, frozen), data, BATCH)['recorded']
    assert set(recorded) == {'teacher'}
    assert set(recorded['teacher']) == {'logits'}
    image = data['image'][[7]] / np.float32(255)
    alone = made.network('teacher').module.apply(jax.tree.map(lambda a: a[1], frozen['teacher']), image)['logits']
    np.testing.assert_allclose(recorded['teacher']['logits'][7, 1], alone[0], rtol=1e-5)
