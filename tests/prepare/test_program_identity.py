"""Which runs can be trained by one program."""

import pytest

from kd_jax.config.config_file import set_leaf
from kd_jax.prepare.program_identity import program_identity


def config(**leaves):
    """A student and its teacher; `leaves` are changed, by path with two underscores for a dot."""
    made = {
        'data': {'source': 'mnist'}, 'batch_size': 8, 'epochs': 1.0,
        'networks': {
            'student': {'model': 'mlp', 'hidden': (4,), 'dropout': 0.1, 'init': ''},
            'teacher': {'model': 'mlp', 'update': 'frozen', 'init': 'run:first'},
        },
        'terms': {'soft': {
            'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0, 'weight': 1.0,
            'average': 'logits', 'mask': '',
        }},
        'optimizer': {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9},
        'analyses': {'bias': {'analysis': 'class_bias', 'classes': (3,)}},
    }  # fmt: skip
    for path, value in leaves.items():
        set_leaf(made, path.replace('__', '.'), value)
    return made


@pytest.mark.parametrize(
    'leaf',
    [
        {'terms__soft__t': 9.0},
        {'terms__soft__weight': 0.5},
        {'optimizer__learning_rate': 0.2},
        {'networks__teacher__init': 'run:second/net'},
        {'analyses__bias__classes': (4,)},
        {'seeds': 3},
        {'samples': {'network': 'student', 'prompts': ['a']}},
    ],
)
def test_numbers_loaded_weights_analyses_and_seeds_make_no_other_program(leaf):
    assert program_identity(config(**leaf), 'here') == program_identity(config(), 'here')


@pytest.mark.parametrize(
    'leaf',
    [
        {'batch_size': 9},
        {'epochs': 2.0},
        {'data__source': 'cifar10'},
        {'networks__student__hidden': (5,)},
        {'networks__student__dropout': 0.2},
        {'networks__student__init': 'run:first'},
        {'terms__soft__average': 'losses'},
        {'terms__soft__mask': 'batch.labelled'},
        {'terms__soft__t': {'schedule': 'linear', 'start': 4.0, 'end': 1.0}},
        {'optimizer__name': 'rmsprop'},
    ],
)
def test_everything_else_does(leaf):
    assert program_identity(config(**leaf), 'here') != program_identity(config(), 'here')


def test_numbers_of_a_schedule_of_a_network_are_no_part_of_its_program():
    one, other = (
        config(networks__student__dropout={'schedule': 'linear', 'start': start, 'end': 0.5}) for start in (0.0, 0.25)
    )
    assert program_identity(one, 'here') == program_identity(other, 'here')
    assert program_identity(one, 'here') != program_identity(config(), 'here')
