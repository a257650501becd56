"""A search over a study of four runs, two of which start from others; nothing is trained."""

from kd_jax.studies.search_space import parse_search
from kd_jax.studies.search_storage import join_search

T = 'runs.student.t'
RATE = 'runs.teacher.rate'


def config(**student):
    needs = {'networks': {'teacher': {'init': 'run:assistant/net'}}, 'x': ('result:teacher.y',), 't': 1.0}
    return {
        'name': 'chain',
        'runs': {
            'student': needs | student,
            'assistant': {'networks': {'teacher': {'init': 'run:teacher'}}},
            'teacher': {'rate': 0.1},
            'other': {'networks': {'teacher': {'init': 'run:teacher'}}},
        },
    }


def described(space=None, **options):
    space = space or {T: {'low': 1.0, 'high': 20.0, 'log': True}}
    return {'space': space, 'objective': 'result:student.last.valid.student.accuracy', **options}


def parsed(own=None, **options):
    own = own or config()
    return parse_search(described(**options), own, 'here'), own


def join(wanted, own, workdir, storage=None):
    return join_search(wanted, own, storage or f'sqlite:///{workdir.path / "search.db"}', workdir, 'here')
