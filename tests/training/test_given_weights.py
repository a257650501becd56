"""A run that trains nothing: its checkpoint holds the weights that it was given, its result their evaluation."""

import time

import jax
import numpy as np

from kd_jax.prepare.prepared_run import prepare_run, variable_shapes
from kd_jax.training.given_weights import finish_with_weights
from kd_jax.training.initial_weights import load_from_checkpoint


def test_given_weights_are_saved_and_evaluated(tmp_path, assert_bitwise):
    config = {
        'data': {'source': 'mnist', 'examples': 30, 'valid': 20},
        'transform': {},
        'networks': {'net': {'model': 'mlp', 'hidden': (3,)}},
    }
    prepared = prepare_run(config, 0, 'here')
    network = prepared.recipe.network('net')
    shapes = variable_shapes(prepared, network)
    weights = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
    weights['params']['head']['bias'][7] = 50.0  # every image is a seven
    for _ in range(2):  # the second time as after a kill: all files are there, and the result was not written
        result = finish_with_weights(prepared, tmp_path, {}, {'net': weights}, time.monotonic())
        assert_bitwise(load_from_checkpoint(network, tmp_path, '', shapes, 'here'), weights)
    for split in ('train', 'valid', 'test'):
        labels = prepared.splits.arrays[split]['label']
        assert result['last'][split]['net']['errors'] == np.sum(labels != 7)
    assert result['parameters'] == {'net': 784 * 3 + 3 + 3 * 10 + 10}
    assert [row['step'] for row in result['history']] == [0]
    assert result['history'][0]['valid'] == result['last']['valid'] == result['best']['valid']
    assert result['seconds'] > 0
