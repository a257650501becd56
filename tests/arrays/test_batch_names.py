"""The key of a batch that no path can read."""

import numpy as np

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.core.forward import open_context
from kd_jax.prepare.parse_recipe import parse_recipe


def test_recorded_outputs_move_from_the_batch_to_the_names_of_their_networks():
    network = {'model': 'mlp', 'update': 'frozen'}
    recipe = parse_recipe({'networks': {'teacher': network, 'ensemble': {**network, 'copies': 2}}, 'terms': {}})
    recorded = {
        'teacher': {'logits': np.arange(6).reshape(2, 3)},
        'ensemble': {'logits': np.arange(8).reshape(4, 2, 1)},  # four examples of two copies
    }
    context = open_context({'label': np.zeros(2), RECORDED: recorded}, recipe)
    assert set(context) == {'batch', 'teacher', 'ensemble'}
    assert set(context['batch']) == {'label'}
    np.testing.assert_array_equal(context['teacher']['logits'], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(context['ensemble']['logits'][..., 0], [[0, 2, 4, 6], [1, 3, 5, 7]])
