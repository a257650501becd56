"""Tests of the estimate of how long convolutions take."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from kd_jax.core.check_recipe import check_recipe
from kd_jax.prepare.convolution_work import convolution_work
from kd_jax.prepare.parse_recipe import parse_recipe

BATCH = {'image': jax.ShapeDtypeStruct((10, 7, 9), jnp.float32), 'label': jax.ShapeDtypeStruct((10,), jnp.int32)}


def work(**networks):
    config = {
        'networks': {'student': {'model': 'mlp', 'hidden': (4,)}, **networks},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}},
        'optimizer': {'learning_rate': 0.1},
    }
    recipe = parse_recipe(config, 'the run')
    return convolution_work(recipe, check_recipe(recipe, BATCH, 'the run'))


def test_every_kernel_of_every_network_counts_at_every_pixel_of_the_batch():
    teacher = dict(model='cnn', channels=(4, 5), update='frozen', init='run:teacher')
    kernels = 3 * 3 * 1 * 4 + 3 * 3 * 4 * 5
    assert work() == 0
    assert work(teacher=teacher) == kernels * 10 * 7 * 9
    assert work(teacher=teacher | dict(copies=3)) == 3 * kernels * 10 * 7 * 9


class Reshaped(nn.Module):
    """Convolves images that it makes of rows of numbers."""

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Conv(3, (7, 9), padding='VALID')(x.reshape(-1, 7, 9, 1)).reshape(-1, 3)


def test_a_convolution_counts_where_neither_the_batch_nor_an_activation_is_an_image(monkeypatch):
    monkeypatch.setitem(BATCH, 'image', jax.ShapeDtypeStruct((10, 63), jnp.float32))
    assert work() == 0
    assert work(student={'model': Reshaped}) > 0
