import jax
import numpy as np
import pytest

from kd_jax.models import cnn

IMAGES = np.random.default_rng(0).uniform(size=(2, 7, 6)).astype(np.float32)
MODEL = cnn(channels=(1, 5), num_classes=4)


@pytest.fixture(scope='module')
def variables():
    """Weights with which the first block gives the pixel to the right, minus 0.5."""
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 2] = 1.0
    rng = np.random.default_rng(1)
    params = {
        'conv1': {'kernel': kernel, 'bias': np.array([-0.5], np.float32)},
        'conv2': {
            'kernel': rng.normal(size=(3, 3, 1, 5)).astype(np.float32),
            'bias': np.zeros(5, np.float32),
        },
        'head': {'kernel': rng.normal(size=(5, 4)).astype(np.float32), 'bias': np.ones(4, np.float32)},
    }
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), IMAGES)['params']
    assert jax.tree.map(lambda a: a.shape, params) == jax.tree.map(lambda a: a.shape, shapes)
    return {'params': params}


@pytest.fixture(scope='module')
def out(variables):
    return jax.device_get(jax.jit(MODEL.apply)(variables, IMAGES))


def test_activations_halve_in_size_and_the_head_reads_their_mean(out, variables):
    shapes = {'block1': (2, 4, 3, 1), 'block2': (2, 2, 2, 5), 'features': (2, 5), 'logits': (2, 4)}
    assert {name: a.shape for name, a in out.items()} == shapes
    np.testing.assert_allclose(out['features'], np.mean(out['block2'], axis=(1, 2)), rtol=1e-6)
    head = variables['params']['head']
    np.testing.assert_allclose(out['logits'], out['features'] @ head['kernel'] + head['bias'], rtol=1e-5)


def test_a_block_is_a_convolution_relu_and_maximum_over_two_by_two(out):
    right = np.pad(IMAGES[:, :, 1:], [(0, 0), (0, 0), (0, 1)])
    # The seventh row has a pooling window of its own.
    active = np.pad(np.maximum(right - 0.5, 0.0), [(0, 0), (0, 1), (0, 0)])
    expected = active.reshape(2, 4, 2, 3, 2).max(axis=(2, 4))
    np.testing.assert_allclose(out['block1'][..., 0], expected, atol=1e-6)


def test_grey_images_may_come_with_or_without_an_axis_of_channels(out, variables):
    with_axis = jax.jit(MODEL.apply)(variables, IMAGES[..., None])
    np.testing.assert_allclose(with_axis['logits'], out['logits'], rtol=1e-6)
