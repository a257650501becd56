"""Small valid studies that the fuzz changes; together they use most options."""

import pathlib

from configs import benchmark_pairs
from kd_jax.config.references import runs_referred_to
from tests import chain_study

GIVEN = {}  # what given_config.py returns
FILE = str(pathlib.Path(__file__).with_name('given_config.py'))

MLP = {'model': 'mlp', 'hidden': (6,), 'num_classes': 3}
HARD = {'loss': 'cross_entropy', 'logits': 'student.logits', 'labels': 'batch.label', 'weight': 0.5}
BIAS = {'analysis': 'class_bias', 'logits': 'student.logits', 'labels': 'batch.label', 'classes': [0, 2]}
RISING = {'schedule': 'linear', 'start': 0.0, 'end': 1.0, 'until': 0.5}
KD = {'loss': 'kd', 'student': 'student.logits', 'target': '~teacher.logits', 't': 4.0}
TAUGHT = {
    'teacher': {**MLP, 'update': 'frozen', 'init': 'run:teacher'},
    'student': {**MLP, 'dropout': 0.1, 'normalize': {'mean': 0.5, 'std': 0.25}},
}


def studies(data):
    """Name -> (config, report) of each study; `data` is the `data` section of a run."""
    rate = {'schedule': 'cosine', 'peak': 0.1, 'warmup': 0.1}
    common = {
        'data': data,
        'batch_size': 10,
        'epochs': 1.0,
        'eval_every': 0.5,
        'optimizer': {
            'name': 'sgd',
            'learning_rate': rate,
            'momentum': 0.9,
        },
    }
    teacher = {**common, 'networks': {'teacher': MLP}, 'terms': {'hard': {**HARD, 'logits': 'teacher.logits'}}}
    return {
        'taught': (_study(teacher=teacher, student=_taught(common)), REPORT),
        'chain': (_study(teacher=teacher, student=_chain(common)), {}),
        'after': (_study(teacher=teacher, other={**teacher, 'epochs': 0.5}, **_after(common)), {}),
    }


def _study(**runs):
    return {'name': 'fuzzed', 'title': 'Fuzz', 'text': 'Small.', 'seeds': 1, 'group_runs': False, 'runs': runs}


def _taught(common):
    return {
        **common,
        'data': {**common['data'], 'augment': {'crop': 1, 'flip': True}, 'views': 2, 'label_noise': 0.1},
        'networks': TAUGHT,
        'terms': {'hard': HARD, 'soft': {**KD, 'weight': RISING}},
        'evaluate': {'student': {'logits': 'student.logits', 'teacher': 'teacher.logits', 'best': 'nll'}},
        'analyses': {'bias': BIAS},
        'cache': {'dtype': 'float16', 'read': 'memory'},
        'optimizer': {'name': 'adamw', 'learning_rate': 0.01, 'weight_decay': 0.1, 'clip': 1.0},
        'patience': 3,
        'checkpoint_seconds': 0.0,
        'resources': {'cpu': 1},
    }  # fmt: skip


def _chain(common):
    return {
        **common,
        'networks': chain_study.NETWORKS | {'teacher': TAUGHT['teacher'], 'classifier': CLASSIFIER},
        'terms': chain_study.LOSSES,
        'evaluate': chain_study.EVALUATE,
        'accumulate': 2,
        'compute_dtype': 'bfloat16',
        'mesh': {'data': 1},
    }


CLASSIFIER = {**chain_study.NETWORKS['classifier'], 'init': 'run:teacher'}


def _after(common):
    soup = {
        'transform': {'name': 'average_weights', 'of': ['run:teacher', 'run:other'], 'seeds': 'all'},
        'data': common['data'],
        'evaluate': {'soup': {'logits': 'teacher.logits'}},
    }
    student = {
        **common,
        'networks': {'student': {'like': 'run:teacher', 'init': 'run:teacher/teacher', 'fresh': ('head',)}},
        'terms': {'hard': {**HARD, 'weight': 'result:teacher.last.test.teacher.accuracy'}},
    }
    return {'soup': soup, 'student': student}


REPORT = {
    'tables': {
        'main': {
            'title': 'Errors',
            'columns': {'errors': 'last.test.student.errors'},
            'rows': {'student': {'label': 'distilled', 'paper': {'errors': 5}}, 'teacher': {}},
        }
    },
    'claims': {
        'gain': {
            'kind': 'difference', 'value': 'student:last.test.student.errors',
            'low': 'teacher:last.test.teacher.errors', 'paper': -2,
        },
    },
    'figures': {
        'bars': {'kind': 'bars', 'values': {'ours': 'student:last.test.student.errors'}},
        'sweep': {'kind': 'lines', 'runs': '*', 'x': 'config.epochs', 'y': 'last.test.student.errors', 'log_x': True},
    },
}  # fmt: skip


def methods():
    """Name -> the config of a study of one method of docs/methods.md: its run, and those that it needs."""
    runs = benchmark_pairs.get_config('low').to_dict()['runs']
    runs = {name: _smaller(run) for name, run in runs.items()}
    studies = {}
    for name in runs:
        needed = [name]
        for one in needed:
            needed += [other for other in runs_referred_to(runs[one]) if other not in needed]
        studies[name] = {**_study(), 'runs': {one: runs[one] for one in needed}}
    return studies


def _smaller(run):
    data = {'source': 'mnist_pairs', 'train': 200, 'valid': 100, 'examples': 100, 'shrink': 4}
    return {**run, 'data': data, 'batch_size': 8}
