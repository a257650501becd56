"""Wide residual networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.models.wide_resnet import PreActivationUnit
from tests.models.image_networks import (
    IMAGES,
    assert_all_batch_norms_moved,
    assert_grey_images_need_no_axis_of_channels,
    assert_the_classifier_reads_the_features,
    training_pass,
)
from tests.models.init_and_apply import parameter_count, shapes_for

SMALL = models.wide_resnet(depth=10, width=1, num_classes=5)


@pytest.fixture(scope='module')
def passed():
    return training_pass(SMALL)


@pytest.mark.parametrize(('name', 'count'), [('wrn_16_2', 703_284), ('wrn_40_1', 569_780)])
def test_a_network_has_the_number_of_parameters_of_repdistiller(name, count):
    assert parameter_count(getattr(models, name)(), 32) == count


def test_stages_have_the_published_sizes():
    assert shapes_for(models.wrn_16_2(), 32) == {
        'stem': (32, 32, 16), 'block1': (32, 32, 32), 'block2': (16, 16, 64), 'block3': (8, 8, 128),
        'features': (128,), 'logits': (100,),
    }  # fmt: skip


def test_a_stage_ends_in_a_sum_and_its_relu_comes_before_pooling(passed):
    expected = np.maximum(passed.out['block3_pre'], 0).mean((1, 2))
    np.testing.assert_allclose(passed.out['features'], expected, rtol=1e-5, atol=1e-6)
    assert np.min(passed.out['block3']) < 0
    assert {'block1_pre', 'block2_pre'} <= set(passed.out)


def test_the_classifier_reads_the_features(passed):
    assert_the_classifier_reads_the_features(passed)


def test_a_batch_norm_moves_a_tenth_of_the_way_to_the_statistics_of_the_batch(passed):
    assert_all_batch_norms_moved(passed)
    # The first batch norm of the first unit reads the stem.
    before, after = (stats['block1_0']['bn1'] for stats in (passed.variables['batch_stats'], passed.batch_stats))
    for statistic, number in (('mean', np.mean), ('var', np.var)):
        expected = 0.9 * before[statistic] + 0.1 * number(passed.out['stem'], axis=(0, 1, 2))
        np.testing.assert_allclose(after[statistic], expected, rtol=1e-4)


def test_grey_images_may_come_without_an_axis_of_channels():
    assert_grey_images_need_no_axis_of_channels(SMALL)


def test_the_shortcut_of_a_unit_reads_its_activated_input():
    unit = PreActivationUnit(channels=5, stride=2, dropout=0.0)
    x = IMAGES[:, :4, :4]
    variables = unit.init(jax.random.key(0), x, False)
    variables['params']['conv2']['kernel'] = jnp.zeros((3, 3, 5, 5))
    out, normed = unit.apply(variables, x, False)
    np.testing.assert_allclose(normed, x / np.sqrt(1 + 1e-5), rtol=1e-6)
    kernel = variables['params']['shortcut_conv']['kernel'][0, 0]
    np.testing.assert_allclose(out, np.maximum(normed, 0)[:, ::2, ::2] @ kernel, rtol=1e-4, atol=1e-6)


def test_dropout_in_a_unit_acts_only_in_training():
    unit = PreActivationUnit(channels=3, stride=1, dropout=0.5)
    variables = unit.init(jax.random.key(0), IMAGES, False)

    def out(train, seed):
        rngs = {'dropout': jax.random.key(seed)}
        return unit.apply(variables, IMAGES, train, rngs=rngs, mutable=['batch_stats'])[0][0]

    np.testing.assert_array_equal(out(False, 0), out(False, 1))
    assert not np.array_equal(out(True, 0), out(True, 1))


def test_a_depth_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match=r'depth is 20, but a wide ResNet has 6 n \+ 4 layers'):
        models.wide_resnet(depth=20)
