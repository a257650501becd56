"""The weights of trained networks of finished runs."""

import jax
import numpy as np

from kd_jax.data.sources import Source
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies.finished_runs import load_trained
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.chunk_program import make_initial_state


def source():
    split = {'image': np.zeros((6, 5), np.float32), 'label': np.arange(6) % 2}
    return Source(split, split, 2)


def test_the_weights_are_those_of_the_checkpoint(tmp_path, assert_bitwise):
    config = {
        'data': {'source': source}, 'batch_size': 2, 'optimizer': {'learning_rate': 0.1},
        'networks': {'student': {'model': 'mlp', 'hidden': [4], 'num_classes': 2}},
    }  # fmt: skip
    made = prepare_run(config, 0, 'here')
    state, _ = make_initial_state(made, {})
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(state, {'step': 0})
    checkpoints.close()
    loaded = load_trained(made, made.recipe.network('student'), tmp_path)
    assert_bitwise(loaded, {'params': jax.device_get(state.params['student'])})
