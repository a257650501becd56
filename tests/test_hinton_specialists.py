"""The study of specialists compares rows of equal cost."""

import jax
import jax.numpy as jnp
import pytest

from configs.hinton import specialist_settings, specialists
from kd_jax.models import mlp


@pytest.mark.parametrize('classes', [specialist_settings.CLASSES, specialist_settings.SUBSET + 1])
def test_the_parameters_that_the_costs_count_are_those_of_the_nets(classes):
    net = mlp(hidden=(30, 30), num_classes=classes)
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 14, 42)))
    counted = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert counted == specialist_settings.SETTINGS[''].parameters(30, classes)


@pytest.mark.parametrize('variant', specialists.VARIANTS)
def test_the_rows_that_are_called_equally_dear_are_so_to_three_percent(variant):
    runs, parameters = specialists.get_config(variant)['runs'], specialist_settings.SETTINGS[variant].parameters
    images = runs['generalist']['data']['train']
    width, wider = (runs[run]['networks']['generalist']['hidden'][0] for run in ('longer', 'wider'))
    members = runs['members']
    costs = [
        parameters(width) * runs['longer']['epochs'] * images,
        parameters(wider) * runs['wider']['epochs'] * images,
        members['networks']['member']['copies'] * parameters(width) * members['epochs'] * images,
    ]
    # An epoch of a specialist holds the tenth of the images that is its own, and as many others.
    own = 12 * parameters(width, 101) * runs['specialist_0']['epochs'] * 2 * images // 10
    together = parameters(width) * runs['generalist']['epochs'] * images + own
    assert costs == pytest.approx([together] * 3, rel=0.03)
