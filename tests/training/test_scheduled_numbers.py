"""The learning rates and scheduled numbers of a run, as its log shows them."""

import jax
import numpy as np
import pytest

from kd_jax.config.json_files import flat
from kd_jax.core.optimizers import make_transformation
from kd_jax.training.scheduled_numbers import numbers_of_step
from tests.train_one import prepare_one

ANNEALED = "terms.soft.t={'schedule': 'linear', 'start': 8.0, 'end': 2.0}"


def at(prepared, step):
    return {name: pytest.approx(value, rel=1e-6) for name, value in flat(numbers_of_step(prepared, step)).items()}


def test_a_constant_learning_rate_and_every_scheduled_number_are_logged():
    prepared = prepare_one(
        'student',
        "optimizer={'name': 'sgd', 'learning_rate': 0.25, 'momentum': 0.9}",
        ANNEALED,
        "terms.soft.weight={'schedule': 'steps', 'start': 1.0, 'at': (0.5,), 'factor': 0.1}",
    )
    total = prepared.total_steps
    soft = {'t': 'terms/soft/t', 'weight': 'terms/soft/weight'}
    rate = {'optimizers/student/learning_rate': 0.25}
    # step 1 is at progress 0, and step total / 2 + 1 at progress 1/2, where the weight drops and t is halfway
    assert at(prepared, 1) == {**rate, soft['t']: 8.0, soft['weight']: 1.0}
    assert at(prepared, total // 2 + 1) == {**rate, soft['t']: 5.0, soft['weight']: 0.1}


def test_the_learning_rate_in_the_log_is_that_of_the_step():
    rate = {'schedule': 'cosine', 'peak': 0.1, 'warmup': 0.2}
    prepared = prepare_one('teacher', f"optimizer={{'name': 'sgd', 'learning_rate': {rate}}}")
    for step in (1, 2, prepared.total_steps // 3, prepared.total_steps):
        progress = np.float32(step - 1) / np.float32(prepared.total_steps)
        network = prepared.recipe.trained[0]
        tx = make_transformation(network.optimizer, prepared.recipe.hparams['optimizers'][network.name], progress)
        updates, _ = tx.update(np.float32(1.0), tx.init(np.float32(0.0)))  # plain SGD moves by -rate * gradient
        logged = numbers_of_step(prepared, step)['optimizers'][network.name]['learning_rate']
        assert logged == -float(jax.device_get(updates))


def test_numbers_of_networks_and_of_moving_averages_are_logged():
    fall = {'schedule': 'linear', 'start': 0.5, 'end': 0.0}
    average = {'model': 'mlp', 'hidden': [16], 'update': 'follow', 'of': 'teacher', 'rule': 'ema', 'decay': fall}
    prepared = prepare_one('teacher', f'networks.teacher.dropout={fall}', f'networks.average={average}')
    numbers = numbers_of_step(prepared, 1)
    assert numbers['networks']['teacher'] == {'dropout': 0.5}
    assert numbers['follow'] == {'average': {'decay': 0.5}}
