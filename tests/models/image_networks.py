"""What every network of images with batch norm must do: one training pass on two images, and the checks of it."""

from typing import Any, NamedTuple

import jax
import numpy as np

IMAGES = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)


class TrainingPass(NamedTuple):
    """Variables, the outputs on IMAGES in training, and the batch statistics afterwards."""

    variables: Any
    out: dict[str, np.ndarray]
    batch_stats: Any


def training_pass(model):
    """Applies a network in training, with variables drawn by NumPy so that drawing them compiles nothing."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    variables = jax.tree.map(lambda a: rng.uniform(0.05, 0.2, a.shape).astype(a.dtype), shapes) | {
        'params': jax.tree.map(lambda a: rng.normal(0, 0.1, a.shape).astype(a.dtype), shapes['params'])
    }
    out, updated = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=['batch_stats']))(variables, IMAGES)
    return TrainingPass(variables, jax.device_get(out), updated['batch_stats'])


def assert_stages_are_the_relu_of_their_pre_activations(passed, stages):
    """`stage` is the ReLU of `stage_pre`, which has negative values; the features are the mean of the last stage."""
    for stage in stages:
        assert np.min(passed.out[f'{stage}_pre']) < 0
        np.testing.assert_array_equal(passed.out[stage], np.maximum(passed.out[f'{stage}_pre'], 0))
    np.testing.assert_allclose(passed.out['features'], np.mean(passed.out[stages[-1]], (1, 2)), rtol=1e-5, atol=1e-6)


def assert_the_classifier_reads_the_features(passed):
    """The logits are an affine function of the features."""
    head = passed.variables['params']['head']
    expected = passed.out['features'] @ head['kernel'] + head['bias']
    np.testing.assert_allclose(passed.out['logits'], expected, rtol=1e-4, atol=1e-5)


def assert_all_batch_norms_moved(passed):
    """Training changed every running average."""
    before = passed.variables['batch_stats']
    assert jax.tree.structure(before) == jax.tree.structure(passed.batch_stats)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(passed.batch_stats), strict=True):
        assert np.any(a != b)


def assert_grey_images_need_no_axis_of_channels(model):
    """[batch, height, width] gives what [batch, height, width, 1] gives."""
    grey = IMAGES[..., 0]
    without, with_axis = (
        jax.eval_shape(model.init_with_output, jax.random.key(0), image) for image in (grey, grey[..., None])
    )
    assert without == with_axis
