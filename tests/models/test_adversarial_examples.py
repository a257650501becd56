"""Adversarial examples of a linear network, by hand."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kd_jax import losses, models
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


def test_an_attack_stays_within_epsilon_and_between_0_and_1():
    image = np.array([[[0.0, 0.05], [0.98, 0.5]]], np.float32)
    _, attack = attacked(image=image, target=LABEL[:1], epsilon=0.1, size=0.07, steps=5)
    assert np.all(np.abs(attack - image) <= 0.1 + 1e-6)
    assert np.all((attack >= 0.0) & (attack <= 1.0))


@pytest.mark.parametrize('teacher', [None, RNG.normal(size=(3, 2)).astype(np.float32)])
def test_more_steps_raise_the_cross_entropy_or_the_divergence_from_a_teacher_further(teacher):
    target = LABEL if teacher is None else teacher
    loss, losses_after = losses.cross_entropy if teacher is None else losses.kd, []
    for steps in (1, 4):
        kernel, image = attacked(target=target, epsilon=0.2, size=0.05, steps=steps, random_start=False)
        losses_after.append(np.mean(loss(image.reshape(3, -1) @ kernel, target)))
    assert np.mean(loss(IMAGE.reshape(3, -1) @ kernel, target)) < losses_after[0] < losses_after[1]
