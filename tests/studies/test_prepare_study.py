"""Tests of what is checked before a study trains."""

import pytest

from kd_jax.config.errors import UserError
from kd_jax.studies.prepare_study import prepare_study
from kd_jax.studies.study import parse_study


def planned(valid, init):
    net = {'model': 'mlp', 'hidden': (4,)}
    teacher = {
        'data': {'source': 'mnist', 'examples': 60, 'valid': valid},
        'epochs': 1,
        'batch_size': 20,
        'networks': {'net': net},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label'}},
        'optimizer': {'learning_rate': 0.1},
    }
    student = {**teacher, 'networks': {'net': {**net, 'init': init}}}
    return parse_study({'name': 'two', 'runs': {'teacher': teacher, 'student': student}}, 'here')


def test_the_best_checkpoint_of_a_run_needs_a_validation_split():
    with pytest.raises(UserError) as error:
        prepare_study(planned(0, 'run:teacher@best'))
    assert str(error.value) == (
        "here: run 'student', network 'net' starts from the best checkpoint of run 'teacher', which is not evaluated "
        "on validation: set runs.teacher.data.valid, or leave out '@best' to take the last checkpoint."
    )
    prepare_study(planned(20, 'run:teacher@best'))
    prepare_study(planned(0, 'run:teacher'))
