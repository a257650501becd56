"""Adversarial examples, discriminators, temperatures, generators, point sets and memories of examples."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import losses, models
from kd_jax.config.errors import UserError
from kd_jax.core.network import Network, Normalize

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
IMAGE = RNG.uniform(0.3, 0.7, size=(3, 2, 2)).astype(np.float32)
LABEL = np.array([0, 1, 1], np.int32)


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(2, use_bias=False)(x.reshape(len(x), -1))


def attacked(normalize=None, target=LABEL, image=IMAGE, **options):
    attack = models.pgd(Network('student', Linear(), (), normalize=normalize), **options)
    variables = attack.init({'params': KEY}, image, target)
    out, updated = attack.apply(variables, image, target, rngs={'dropout': KEY})
    assert updated == {}
    return variables['params']['Dense_0']['kernel'], out['image']


@pytest.mark.parametrize('normalize', [None, Normalize((0.5,), (0.25,))])
def test_against_a_linear_network_one_step_is_the_sign_of_the_weights(normalize):
    kernel, image = attacked(normalize, epsilon=0.1, size=0.1, steps=1, random_start=False)
    # The cross-entropy of two classes grows with the logit of the wrong class minus that of the right class.
    towards = kernel[:, 1] - kernel[:, 0]
    direction = np.where(LABEL[:, None] == 0, towards, -towards).reshape(IMAGE.shape)
    np.testing.assert_allclose(image, IMAGE + 0.1 * np.sign(direction), rtol=1e-6)


def test_an_attack_stays_in_its_ball_and_among_images():
    image = np.array([[[0.0, 0.05], [0.98, 0.5]]], np.float32)
    _, attack = attacked(image=image, target=LABEL[:1], epsilon=0.1, size=0.07, steps=5)
    assert np.all(np.abs(attack - image) <= 0.1 + 1e-6)
    assert np.all((attack >= 0.0) & (attack <= 1.0))


@pytest.mark.parametrize('teacher', [None, RNG.normal(size=(3, 2)).astype(np.float32)])
def test_more_steps_of_an_attack_hurt_more_and_against_a_teacher_it_is_the_divergence_that_grows(teacher):
    target = LABEL if teacher is None else teacher
    loss, hurt = losses.cross_entropy if teacher is None else losses.kd, []
    for steps in (1, 4):
        kernel, image = attacked(target=target, epsilon=0.2, size=0.05, steps=steps, random_start=False)
        hurt.append(np.mean(loss(image.reshape(3, -1) @ kernel, target)))
    assert np.mean(loss(IMAGE.reshape(3, -1) @ kernel, target)) < hurt[0] < hurt[1]


def test_a_judge_scores_both_sides_with_one_function():
    judge = models.discriminator(hidden=(4,))
    one, other = RNG.normal(size=(2, 3, 5)).astype(np.float32)
    variables = judge.init(KEY, one, other)
    out, swapped = judge.apply(variables, one, other), judge.apply(variables, other, one)
    np.testing.assert_array_equal(out['student'], swapped['target'])
    assert out['student'].shape == (3,)
    with pytest.raises(UserError, match='5 features and the teacher 4'):
        judge.init(KEY, one, other[:, :4])


def test_a_temperature_reads_nothing_and_stays_in_its_range():
    model = models.temperature(least=2.0, span=3.0)
    variables = model.init(KEY, jnp.full((2, 3), jnp.nan))
    np.testing.assert_allclose(model.apply(variables, None)['t'], 2.0 + 3.0 / (1.0 + np.exp(-1.0)), rtol=1e-6)
    for a, t in ((-1e4, 2.0), (0.0, 3.5), (1e4, 5.0)):
        np.testing.assert_allclose(model.apply({'params': {'a': jnp.float32(a)}}, None)['t'], t, rtol=1e-6)


def test_a_generator_knows_of_images_their_shape_alone():
    generator = models.generator(dim=3, channels=4)
    like = jnp.zeros((2, 8, 12, 3))
    variables = generator.init({'params': KEY, 'dropout': KEY}, like)
    one, other = (generator.apply(variables, x, rngs={'dropout': KEY}) for x in (like, jnp.full(like.shape, jnp.nan)))
    np.testing.assert_array_equal(one['image'], other['image'])
    assert one['image'].shape == like.shape
    assert np.all((one['image'] > 0) & (one['image'] < 1))
    grey = generator.init_with_output({'params': KEY, 'dropout': KEY}, like[..., 0])[0]
    assert grey['image'].shape == (2, 8, 12)
    odd = generator.init_with_output({'params': KEY, 'dropout': KEY}, like[:, :7, :10])[0]
    assert odd['image'].shape == (2, 7, 10, 3)


def test_points_are_the_bright_pixels_and_dark_ones_repeat_the_brightest():
    image = np.zeros((1, 3, 5), np.float32)
    image[0, 0, 4], image[0, 2, 2] = 0.5, 1.0
    points = models.stroke_points(count=4, height=True).apply({}, image)['points']
    # x runs from -1 to 1 over 5 columns, y over 3 rows.
    np.testing.assert_allclose(points[0], [[0, 1, 1.0], [1, -1, 0.5], [0, 1, 1.0], [0, 1, 1.0]])
    with pytest.raises(UserError, match='cannot take 16 points from images of shape'):
        models.stroke_points(count=16).apply({}, image)


def test_a_set_of_points_has_no_order_and_repeated_points_do_not_count():
    points, net = RNG.normal(size=(2, 6, 3)).astype(np.float32), models.pointnet(point_units=(8, 16), hidden=(8,))
    variables = net.init(KEY, points)
    out = net.apply(variables, points)
    for other in (points[:, [3, 1, 5, 0, 4, 2]], np.concatenate([points, points[:, :2]], axis=1)):
        for name, array in net.apply(variables, other).items():
            np.testing.assert_allclose(array, out[name], rtol=1e-5, atol=1e-6)
    assert {name: a.shape for name, a in out.items()} == {'features': (2, 16), 'logits': (2, 10)}


def test_what_was_said_is_recalled_the_next_time_and_only_then():
    recall, ids = models.recall(examples=5), jnp.array([4, 1])
    said = RNG.normal(size=(2, 3)).astype(np.float32)
    variables = recall.init(KEY, said, ids)
    first, changed = recall.apply(variables, said, ids, train=True, mutable=['recall'])
    second, _ = recall.apply(changed, 2 * said, jnp.array([1, 0]), train=True, mutable=['recall'])
    np.testing.assert_array_equal(first['logits'], 0.0)
    np.testing.assert_array_equal(second['logits'], [said[1], np.zeros(3)])
    np.testing.assert_array_equal(first['known'], [False, False])
    np.testing.assert_array_equal(second['known'], [True, False])
    unchanged, same = recall.apply(changed, 2 * said, ids, train=False, mutable=['recall'])
    np.testing.assert_array_equal(unchanged['logits'], said)
    np.testing.assert_array_equal(same['recall']['logits'], changed['recall']['logits'])


def test_a_gated_average_weighs_each_examples_branches():
    a, b = RNG.normal(size=(2, 2, 3)).astype(np.float32)
    weights = np.array([[1.0, 0.0], [0.25, 0.75]], np.float32)
    out = models.gated_average().apply({}, weights, a, b)['logits']
    np.testing.assert_allclose(out, [a[0], 0.25 * a[1] + 0.75 * b[1]], rtol=1e-6)
    with pytest.raises(UserError, match='3 branches, but 2 weights'):
        models.gated_average().apply({}, weights, a, b, b)
