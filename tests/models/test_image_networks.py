"""The networks of the CIFAR and ImageNet literature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kd_jax import models
from kd_jax.config.errors import UserError
from kd_jax.models import layers
from kd_jax.models.resnet import Unit
from kd_jax.models.wide_resnet import PreActivationUnit

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 16, 16, 3)).astype(np.float32)
NETWORKS = {
    'residual': models.cifar_resnet(depth=8, channels=(4, 4, 6, 8), num_classes=5),
    'wide': models.wide_resnet(depth=10, width=1, num_classes=5),
    'vgg': models.vgg(depth=8, num_classes=5),
}


def drawn(model, image):
    """Variables of the right shapes, drawn with NumPy so that nothing is compiled."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    return jax.tree.map(lambda a: RNG.uniform(0.05, 0.2, a.shape).astype(a.dtype), shapes) | {
        'params': jax.tree.map(lambda a: RNG.normal(0, 0.1, a.shape).astype(a.dtype), shapes['params'])
    }


@pytest.fixture(scope='module', params=NETWORKS)
def network(request):
    """A model's name, its variables, its activations on IMAGES in training mode, and its updated collections."""
    model = NETWORKS[request.param]
    variables = drawn(model, IMAGES)
    out, updated = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=['batch_stats']))(variables, IMAGES)
    return request.param, variables, jax.device_get(out), updated


@pytest.mark.parametrize(
    ('name', 'size', 'count'),
    [
        # Numbers of parameters in RepDistiller for 100 classes, and in torchvision for 1000.
        ('resnet20', 32, 278_324),
        ('resnet56', 32, 861_620),
        ('resnet8x4', 32, 1_233_540),
        ('wrn_16_2', 32, 703_284),
        ('wrn_40_1', 32, 569_780),
        ('vgg8', 32, 3_965_028),
        ('vgg13', 32, 9_462_180),
        ('resnet18', 224, 11_689_512),
        ('resnet34', 224, 21_797_672),
        ('resnet50', 224, 25_557_032),
        ('resnet152', 224, 60_192_808),
    ],
)
def test_a_network_has_the_published_number_of_parameters(name, size, count):
    image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    variables = jax.eval_shape(getattr(models, name)().init, jax.random.key(0), image)
    assert sum(a.size for a in jax.tree.leaves(variables['params'])) == count


def test_stages_have_the_published_sizes():
    def of(model, size):
        image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
        out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
        return {key: a.shape[1:] for key, a in out.items() if not key.endswith('_pre')}

    assert of(models.resnet8x4(), 32) == {
        'stem': (32, 32, 32), 'block1': (32, 32, 64), 'block2': (16, 16, 128), 'block3': (8, 8, 256),
        'features': (256,), 'logits': (100,),
    }  # fmt: skip
    assert of(models.wrn_16_2(), 32) == {
        'stem': (32, 32, 16), 'block1': (32, 32, 32), 'block2': (16, 16, 64), 'block3': (8, 8, 128),
        'features': (128,), 'logits': (100,),
    }  # fmt: skip
    assert of(models.vgg8(), 32) == {
        'stem': (32, 32, 64), 'block1': (16, 16, 128), 'block2': (8, 8, 256), 'block3': (4, 4, 512),
        'block4': (4, 4, 512), 'features': (512,), 'logits': (100,),
    }  # fmt: skip
    assert of(models.vgg(depth=8), 64)['block4'] == (4, 4, 512)
    assert of(models.resnet(depth=18, width=2), 224) == {
        'stem': (56, 56, 128), 'block1': (56, 56, 128), 'block2': (28, 28, 256), 'block3': (14, 14, 512),
        'block4': (7, 7, 1024), 'features': (1024,), 'logits': (1000,),
    }  # fmt: skip


def test_what_a_stage_gives_before_its_relu_goes_through_it(network):
    name, _, out, _ = network
    stages = sorted(key.removesuffix('_pre') for key in out if key.endswith('_pre') and key != 'stem_pre')
    assert {'block1', 'block2', 'block3'} <= set(stages)
    if name == 'wide':
        # The last batch norm and a ReLU come before pooling; the output of a stage itself is a sum.
        np.testing.assert_allclose(out['features'], np.maximum(out['block3_pre'], 0).mean((1, 2)), rtol=1e-5, atol=1e-6)
        assert np.min(out['block3']) < 0
    else:
        for stage in stages:
            assert np.min(out[f'{stage}_pre']) < 0
            np.testing.assert_array_equal(out[stage], np.maximum(out[f'{stage}_pre'], 0))
        np.testing.assert_allclose(out['features'], np.mean(out[stages[-1]], (1, 2)), rtol=1e-5, atol=1e-6)


def test_the_classifier_reads_the_features(network):
    _, variables, out, _ = network
    head = variables['params']['head']
    np.testing.assert_allclose(out['logits'], out['features'] @ head['kernel'] + head['bias'], rtol=1e-4, atol=1e-5)


def test_every_batch_norm_moves_a_tenth_of_the_way_to_the_statistics_of_the_batch(network):
    name, variables, out, updated = network
    before, after = variables['batch_stats'], updated['batch_stats']
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert all(np.any(a != b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))
    if name == 'wide':  # the first batch norm of the first unit reads the stem
        before, after = before['block1_0']['bn1'], after['block1_0']['bn1']
        for statistic, number in (('mean', np.mean), ('var', np.var)):
            expected = 0.9 * before[statistic] + 0.1 * number(out['stem'], axis=(0, 1, 2))
            np.testing.assert_allclose(after[statistic], expected, rtol=1e-4)


@pytest.mark.parametrize('bottleneck', [False, True])
def test_a_residual_unit_whose_last_batch_norm_is_zero_passes_its_input(bottleneck):
    unit = Unit(channels=4 if not bottleneck else 1, bottleneck=bottleneck)
    x = RNG.normal(size=(2, 3, 3, 4)).astype(np.float32)
    variables = unit.init(jax.random.key(0), x, False)
    variables['params']['bn3' if bottleneck else 'bn2']['scale'] = jnp.zeros(4)
    np.testing.assert_array_equal(unit.apply(variables, x, False), x)


def test_the_shortcut_of_a_wide_unit_reads_its_activated_input():
    unit = PreActivationUnit(channels=5, stride=2, dropout=0.0)
    x = RNG.normal(size=(2, 4, 4, 3)).astype(np.float32)
    variables = unit.init(jax.random.key(0), x, False)
    variables['params']['conv2']['kernel'] = jnp.zeros((3, 3, 5, 5))
    out, normed = unit.apply(variables, x, False)
    np.testing.assert_allclose(normed, x / np.sqrt(1 + 1e-5), rtol=1e-6)
    kernel = variables['params']['shortcut_conv']['kernel'][0, 0]
    np.testing.assert_allclose(out, np.maximum(normed, 0)[:, ::2, ::2] @ kernel, rtol=1e-4, atol=1e-6)


def test_a_strided_convolution_is_centred_on_the_first_pixel():
    x = RNG.normal(size=(1, 4, 4, 1)).astype(np.float32)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1.0
    out = layers.conv(1, 3, 2, name='conv').apply({'params': {'kernel': kernel}}, x)
    np.testing.assert_array_equal(out, x[:, ::2, ::2])


def test_convolutions_start_with_the_variance_of_the_backward_pass():
    kernel = layers.conv(64, 3, name='conv').init(jax.random.key(0), IMAGES)['params']['kernel']
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (9 * 64)), rtol=0.05)


def test_grey_images_may_come_without_an_axis_of_channels():
    grey = IMAGES[..., 0]
    for model in NETWORKS.values():
        given, shapes = (
            jax.eval_shape(model.init_with_output, jax.random.key(0), image) for image in (grey, grey[..., None])
        )
        assert given == shapes


def test_dropout_in_a_wide_unit_acts_in_training_alone():
    unit = PreActivationUnit(channels=3, stride=1, dropout=0.5)
    variables = unit.init(jax.random.key(0), IMAGES, False)

    def out(train, seed):
        rngs = {'dropout': jax.random.key(seed)}
        return unit.apply(variables, IMAGES, train, rngs=rngs, mutable=['batch_stats'])[0][0]

    np.testing.assert_array_equal(out(False, 0), out(False, 1))
    assert not np.array_equal(out(True, 0), out(True, 1))


@pytest.mark.parametrize(
    ('model', 'options', 'message'),
    [
        ('cifar_resnet', {'depth': 21}, r'depth is 21, but a CIFAR ResNet has 6 n \+ 2 layers'),
        ('cifar_resnet', {'channels': (16, 32, 64)}, 'needs four numbers: for the stem'),
        ('resnet', {'depth': 20}, 'an ImageNet ResNet has 18, 34, 50, 101, 152 layers'),
        ('wide_resnet', {'depth': 20}, r'a wide ResNet has 6 n \+ 4 layers'),
        ('vgg', {'depth': 7}, 'a VGG network here has 8, 11, 13, 16, 19 layers'),
    ],
)
def test_a_depth_that_does_not_exist_is_refused(model, options, message):
    with pytest.raises(UserError, match=message):
        getattr(models, model)(**options)
