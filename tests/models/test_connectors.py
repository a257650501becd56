"""Connectors between networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.core.initial_state import init_state
from kd_jax.core.step import make_train_step
from kd_jax.prepare.parse_recipe import parse_recipe
from tests.models.init_and_apply import assert_shapes, made, trained

RNG = np.random.default_rng(0)
MAP = RNG.normal(size=(3, 4, 4, 5)).astype(np.float32)
VECTOR = RNG.normal(size=(3, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ('module', 'inputs', 'shapes'),
    [
        (models.connector(channels=7), [VECTOR], {'features': (3, 7)}),
        (models.connector(channels=7, size=2, batch_norm=True, relu=True), [MAP], {'features': (3, 2, 2, 7)}),
        (models.connector(channels=7, size=8), [MAP], {'features': (3, 8, 8, 7)}),
        (models.connector(channels=7, size=(2, 6)), [MAP], {'features': (3, 2, 6, 7)}),
        (models.variational(channels=7), [MAP], {'mean': (3, 4, 4, 7), 'variance': (3, 4, 4, 7)}),
        (models.paraphraser(factor=2), [MAP], {'factor': (3, 4, 4, 2), 'reconstruction': (3, 4, 4, 5)}),
        (models.translator(factor=2), [MAP], {'factor': (3, 4, 4, 2)}),
        (
            models.fusion(channels=(6, 7), width=4),
            [MAP, MAP[:, ::2, ::2]],
            {'stage1': (3, 4, 4, 6), 'stage2': (3, 2, 2, 7)},
        ),
        (models.masked_generator(channels=7), [MAP], {'features': (3, 4, 4, 7)}),
        (models.projector(channels=6), [MAP], {'map': (3, 4, 4, 6), 'features': (3, 6)}),
        (models.classifier(num_classes=9), [MAP], {'logits': (3, 9)}),
        (models.gate(teachers=4), [VECTOR], {'weights': (3, 4)}),
        (models.noise(), [VECTOR], {'logits': (3, 5)}),
    ],
)
def test_shapes_are_those_of_the_docstring_in_training_and_after(module, inputs, shapes):
    assert_shapes(module, inputs, shapes)


def test_a_connector_pools_by_means_over_blocks_before_it_regresses():
    variables, out = made(models.connector(channels=7, size=2), MAP)
    blocks = MAP.reshape(3, 2, 2, 2, 2, 5).mean((2, 4))
    weights = variables['params']['regressor']
    np.testing.assert_allclose(out['features'], blocks @ weights['kernel'] + weights['bias'], atol=1e-5)


def test_a_size_is_refused_for_vectors_and_must_be_one_or_two_numbers():
    with pytest.raises(UserError, match=r'only a map .* can be resized, not \[3, 5\]'):
        made(models.connector(channels=7, size=2), VECTOR)
    for size in ((2,), (2, 4, 1), (0, 2), -1):
        with pytest.raises(UserError, match='must be a height and a width, 1 or more'):
            made(models.connector(channels=7, size=size), MAP)


def test_the_variance_of_vid_is_one_trained_number_a_channel():
    variables, out = made(models.variational(channels=7, initial=2.0), MAP)
    np.testing.assert_allclose(out['variance'], 2.0, rtol=1e-5)
    assert variables['params']['alpha'].shape == (7,)


def test_fusion_gives_each_stage_the_deeper_stages_and_no_shallower_one():
    module, stages = models.fusion(channels=(6, 7), width=4), [MAP, MAP[:, ::2, ::2]]
    variables, _ = made(module, *stages)

    def depends(of, by):
        gradient = jax.grad(lambda *s: jnp.sum(module.apply(variables, *s, train=False)[of] ** 2), argnums=by)(*stages)
        return bool(jnp.any(gradient != 0))

    assert depends('stage1', 0)
    assert depends('stage1', 1)
    assert depends('stage2', 1)
    assert not depends('stage2', 0)


def test_fusion_needs_the_channels_of_each_stage():
    with pytest.raises(UserError, match='reads 1 stages, but has channels for 2'):
        made(models.fusion(channels=(6, 7)), MAP)


def test_a_masked_generator_hides_other_places_each_step_and_none_after_training():
    module = models.masked_generator(channels=5, share=0.5)
    variables, after = made(module, MAP)
    first, second = (trained(module, variables, MAP, seed=seed)[0]['features'] for seed in (1, 2))
    again = trained(module, variables, MAP, seed=1)[0]['features']
    np.testing.assert_array_equal(first, again)
    assert np.any(first != second)
    everything = trained(models.masked_generator(channels=5, share=0.0), variables, MAP)[0]['features']
    np.testing.assert_allclose(everything, after['features'], rtol=1e-6)


def test_noise_disturbs_its_share_of_the_examples_only_in_training():
    many = np.ones((4000, 3), np.float32)
    module = models.noise(sd=0.5, share=0.25)
    variables, after = made(module, many)
    np.testing.assert_array_equal(after['logits'], many)
    noisy = np.asarray(trained(module, variables, many)[0]['logits'])
    disturbed = np.any(noisy != many, axis=-1)
    np.testing.assert_allclose(disturbed.mean(), 0.25, atol=0.03)
    np.testing.assert_allclose(noisy[disturbed].std(), 0.5, rtol=0.05)


def test_a_hint_trains_the_connector_and_the_student_below_it_and_nothing_else():
    net = {'model': 'mlp', 'hidden': (6, 4), 'num_classes': 3}
    config = {
        'networks': {
            'teacher': {**net, 'hidden': (8, 8), 'update': 'frozen'},
            'student': net,
            'hint': {'model': 'connector', 'input': 'student.hidden1', 'channels': 8},
        },
        'terms': {'hint': {'loss': 'mse', 'student': 'hint.features', 'target': 'teacher.hidden1'}},
        'optimizer': {'name': 'sgd', 'learning_rate': 0.1},
    }
    parsed, batch = parse_recipe(config), {'image': VECTOR}
    before, frozen = init_state(parsed, batch, seed=0)
    after, _ = jax.jit(make_train_step(parsed, 1))(before, parsed.hparams, frozen, batch)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before.params, after.params)
    assert moved['hint']['regressor']['kernel']
    assert moved['student']['dense1']['kernel']
    assert not any(jax.tree.leaves([moved['student'][name] for name in ('dense2', 'head')]))
    assert 'teacher' not in after.params


def test_a_gated_average_weighs_each_examples_branches():
    a, b = RNG.normal(size=(2, 2, 3)).astype(np.float32)
    weights = np.array([[1.0, 0.0], [0.25, 0.75]], np.float32)
    out = models.gated_average().apply({}, weights, a, b)['logits']
    np.testing.assert_allclose(out, [a[0], 0.25 * a[1] + 0.75 * b[1]], rtol=1e-6)
    with pytest.raises(UserError, match='3 branches, but 2 weights'):
        models.gated_average().apply({}, weights, a, b, b)
