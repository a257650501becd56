"""VGG networks with batch norm."""

import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from tests.models.image_networks import (
    assert_all_batch_norms_moved,
    assert_grey_images_need_no_axis_of_channels,
    assert_stages_are_the_relu_of_their_pre_activations,
    assert_the_classifier_reads_the_features,
    training_pass,
)
from tests.models.init_and_apply import parameter_count, shapes_for

SMALL = models.vgg(depth=8, num_classes=5)


@pytest.fixture(scope='module')
def passed():
    return training_pass(SMALL)


@pytest.mark.parametrize(('name', 'count'), [('vgg8', 3_965_028), ('vgg13', 9_462_180)])
def test_a_network_has_the_number_of_parameters_of_repdistiller(name, count):
    assert parameter_count(getattr(models, name)(), 32) == count


def test_blocks_have_the_published_sizes():
    assert shapes_for(models.vgg8(), 32) == {
        'stem': (32, 32, 64), 'block1': (16, 16, 128), 'block2': (8, 8, 256), 'block3': (4, 4, 512),
        'block4': (4, 4, 512), 'features': (512,), 'logits': (100,),
    }  # fmt: skip
    assert shapes_for(models.vgg(depth=8), 64)['block4'] == (4, 4, 512)


def test_a_block_is_the_relu_of_what_it_gives_before(passed):
    assert_stages_are_the_relu_of_their_pre_activations(passed, ('block1', 'block2', 'block3', 'block4'))


def test_the_classifier_reads_the_features(passed):
    assert_the_classifier_reads_the_features(passed)


def test_training_moves_every_batch_norm(passed):
    assert_all_batch_norms_moved(passed)


def test_grey_images_may_come_without_an_axis_of_channels():
    assert_grey_images_need_no_axis_of_channels(SMALL)


def test_a_depth_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match='depth is 7, but a VGG network here has 8, 11, 13, 16, 19 layers'):
        models.vgg(depth=7)
