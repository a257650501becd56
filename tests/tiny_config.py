"""A study of seconds, for tests: a teacher with every kind of randomness, and its student."""

from ml_collections import ConfigDict


def get_config(variant: str = '') -> ConfigDict:
    assert not variant
    c = ConfigDict()
    c.name = 'tiny'
    c.seeds = 1
    shared = {
        'data': {'source': 'mnist', 'examples': 300, 'valid': 100, 'augment': {'crop': 2}, 'resident': True},
        'batch_size': 25,
        'epochs': 2.0,
        'eval_every': 0.5,
        'checkpoint_seconds': 0.0,
    }
    teacher = {'model': 'mlp', 'hidden': (16,)}
    c.runs = ConfigDict()
    c.runs.teacher = {
        **shared,
        'networks': {'teacher': {**teacher, 'dropout_input': 0.1, 'dropout': 0.3}},
        'terms': {'hard': {'loss': 'cross_entropy', 'logits': 'teacher.logits', 'labels': 'batch.label'}},
        'optimizer': {'name': 'sgd', 'learning_rate': {'schedule': 'cosine', 'peak': 0.1}, 'momentum': 0.9},
    }
    c.runs.student = {
        **shared,
        'networks': {
            'teacher': {**teacher, 'update': 'frozen', 'init': 'run:teacher'},
            'student': {'model': 'mlp', 'hidden': (8,), 'dropout': 0.1},
        },
        'terms': {
            'hard': {
                'loss': 'cross_entropy',
                'logits': 'student.logits',
                'labels': 'batch.label',
                'weight': 0.1,
            },
            'soft': {'loss': 'kd', 'student': 'student.logits', 'target': 'teacher.logits', 't': 4.0},
        },
        'optimizer': {'name': 'adam', 'learning_rate': 0.01},
    }
    return c


def get_search(variant: str = '') -> dict:
    return {
        'space': {
            'runs.student.terms.soft.t': {'low': 1.0, 'high': 20.0, 'log': True},
            'runs.student.optimizer.learning_rate': {'low': 0.001, 'high': 0.1, 'log': True},
        },
        'objective': 'result:student.last.valid.student.nll',
        'direction': 'minimize',
    }
