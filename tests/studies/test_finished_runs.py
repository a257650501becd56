"""Trained networks of finished runs: which can be exported, with which numbers and weights."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.sources import Source
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.studies.finished_runs import exportable_network, load_trained
from kd_jax.training.checkpoints import Checkpoints
from kd_jax.training.chunk_program import make_initial_state

STUDENT = {'model': 'mlp', 'hidden': [4], 'num_classes': 2}


class Scaled(nn.Module):
    scale: float = 1.0

    @nn.compact
    def __call__(self, x, *, train=False):
        return self.scale * nn.Dense(2)(x)


def source():
    split = {'image': np.zeros((6, 5), np.float32), 'label': np.arange(6) % 2}
    return Source(split, split, 2)


def prepared(**networks):
    """A run of three steps an epoch and two epochs."""
    term = {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label'}
    config = {
        'data': {'source': source}, 'batch_size': 2, 'epochs': 2, 'optimizer': {'learning_rate': 0.1},
        'networks': {'student': STUDENT, **networks}, 'terms': {'hard': term},
    }  # fmt: skip
    return prepare_run(config, 0, 'here')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('', 'here: choose one of the 3 trained networks. Known: next, pair, student'),
        ('studnt', "here: there is no trained network 'studnt'. Did you mean 'student'"),
        ('pair', "here, network 'pair' has copies; only a single network"),
        ('next', "here, network 'next' reads student.hidden1; only a single network"),
    ],
)
def test_networks_that_are_not_one_on_its_own_are_refused(name, message):
    made = prepared(pair={**STUDENT, 'copies': 2}, next={**STUDENT, 'input': 'student.hidden1'})
    with pytest.raises(UserError) as error:
        exportable_network(made, name, 0)
    assert str(error.value).startswith(message)


def test_the_only_trained_network_needs_no_name_and_has_its_numbers_of_the_step():
    made = prepared(student={'model': Scaled, 'scale': {'schedule': 'linear', 'start': 1.0, 'end': 4.0}})
    assert made.total_steps == 6
    for step, scale in ((0, 1.0), (2, 2.0), (6, 4.0)):
        assert exportable_network(made, '', step).module.scale == pytest.approx(scale)


def test_the_weights_are_those_of_the_checkpoint(tmp_path, assert_bitwise):
    made = prepared()
    state, _ = make_initial_state(made, {})
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(state, {'step': 0})
    checkpoints.close()
    loaded = load_trained(made, exportable_network(made, '', 0), tmp_path)
    assert_bitwise(loaded, {'params': jax.device_get(state.params['student'])})
