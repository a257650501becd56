"""Residual networks for small and for large images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.models.resnet import Unit
from tests.models.image_networks import (
    assert_all_batch_norms_moved,
    assert_grey_images_need_no_axis_of_channels,
    assert_stages_are_the_relu_of_their_pre_activations,
    assert_the_classifier_reads_the_features,
    training_pass,
)
from tests.models.init_and_apply import parameter_count, shapes_for

SMALL = models.cifar_resnet(depth=8, channels=(4, 4, 6, 8), num_classes=5)


@pytest.fixture(scope='module')
def passed():
    return training_pass(SMALL)


@pytest.mark.parametrize(
    ('name', 'size', 'count'),
    [
        # Numbers of parameters in RepDistiller for 100 classes, and in torchvision for 1000.
        ('resnet20', 32, 278_324),
        ('resnet56', 32, 861_620),
        ('resnet8x4', 32, 1_233_540),
        ('resnet18', 224, 11_689_512),
        ('resnet34', 224, 21_797_672),
        ('resnet50', 224, 25_557_032),
        ('resnet152', 224, 60_192_808),
    ],
)
def test_a_network_has_the_published_number_of_parameters(name, size, count):
    assert parameter_count(getattr(models, name)(), size) == count


def test_stages_have_the_published_sizes():
    assert shapes_for(models.resnet8x4(), 32) == {
        'stem': (32, 32, 32), 'block1': (32, 32, 64), 'block2': (16, 16, 128), 'block3': (8, 8, 256),
        'features': (256,), 'logits': (100,),
    }  # fmt: skip
    assert shapes_for(models.resnet(depth=18, width=2), 224) == {
        'stem': (56, 56, 128), 'block1': (56, 56, 128), 'block2': (28, 28, 256), 'block3': (14, 14, 512),
        'block4': (7, 7, 1024), 'features': (1024,), 'logits': (1000,),
    }  # fmt: skip


def test_a_stage_is_the_relu_of_what_it_gives_before(passed):
    assert_stages_are_the_relu_of_their_pre_activations(passed, ('block1', 'block2', 'block3'))


def test_the_classifier_reads_the_features(passed):
    assert_the_classifier_reads_the_features(passed)


def test_training_moves_every_batch_norm(passed):
    assert_all_batch_norms_moved(passed)


def test_grey_images_may_come_without_an_axis_of_channels():
    assert_grey_images_need_no_axis_of_channels(SMALL)


@pytest.mark.parametrize('bottleneck', [False, True])
def test_a_residual_unit_whose_last_batch_norm_is_zero_returns_its_input(bottleneck):
    unit = Unit(channels=4 if not bottleneck else 1, bottleneck=bottleneck)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
    variables = unit.init(jax.random.key(0), x, False)
    variables['params']['bn3' if bottleneck else 'bn2']['scale'] = jnp.zeros(4)
    np.testing.assert_array_equal(unit.apply(variables, x, False), x)


@pytest.mark.parametrize(
    ('model', 'options', 'message'),
    [
        ('cifar_resnet', {'depth': 21}, r'depth is 21, but a CIFAR ResNet has 6 n \+ 2 layers'),
        ('cifar_resnet', {'channels': (16, 32, 64)}, 'needs four numbers: for the stem'),
        ('resnet', {'depth': 20}, 'an ImageNet ResNet has 18, 34, 50, 101, 152 layers'),
    ],
)
def test_a_depth_that_does_not_exist_is_refused(model, options, message):
    with pytest.raises(UserError, match=message):
        getattr(models, model)(**options)
