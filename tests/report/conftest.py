"""A study small enough to check by hand: three runs of three seeds; ERRORS holds their errors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kd_jax.report.build import build_report
from kd_jax.report.result_files import load_results

ERRORS = {'baseline': (10, 12, 14), 'student': (6, 7, 8), 'teacher': (4, 4, 4)}
PATH = 'last.test.student.errors'
REPORT: dict[str, Any] = {
    'tables': {
        'main': {
            'title': 'Errors',
            'columns': {'errors': PATH, 'accuracy': 'last.test.student.accuracy'},
            'rows': {
                'student': {'label': 'distilled', 'paper': {'errors': 5}},
                'baseline': {},
                'absent': {'label': 'to come', 'paper': {'errors': 3}},
            },
        }
    },
    'claims': {
        'kept': {
            'kind': 'share',
            'title': 'share kept',
            'value': f'student:{PATH}',
            'low': f'baseline:{PATH}',
            'high': f'teacher:{PATH}',
            'paper': 0.8,
        },
        'gain': {'kind': 'difference', 'value': f'student:{PATH}', 'low': f'baseline:{PATH}', 'paper': -72},
    },
    'figures': {
        'sweep': {
            'kind': 'lines',
            'runs': '*',
            'x': 'config.t',
            'y': PATH,
            'by': 'config.widths.0',
            'log_x': True,
        },
        'bars': {'kind': 'bars', 'values': {'ours': f'student:{PATH}'}},
        'nothing': {'kind': 'bars', 'values': {'absent': f'absent:{PATH}'}},
        'matrices': {'kind': 'matrices', 'values': {'one': 'student:analyses.matrix'}},
        'dark': {'kind': 'soft_targets', 'run': 'student', 'analysis': 'dark'},
    },
}


STATED = {
    'count': {'unit': 'count', 'better': None},
    'errors': {'unit': 'count', 'better': 'lower'},
    'accuracy': {'unit': 'fraction', 'better': 'higher'},
    'nll': {'unit': 'nats', 'better': 'lower'},
}


def result(run: str, seed: int, errors: int) -> dict[str, Any]:
    test = {'student': {'count': 100, 'errors': errors, 'accuracy': 1 - errors / 100, 'nll': None}}
    dark = {'id': 3, 'label': 1, 'image': [[0, 255], [255, 0]], 'teacher': [[0.1, 0.9], [0.4, 0.6]]}
    return {
        'study': 'small',
        'run': run,
        'seed': seed,
        'config': {'t': {'baseline': 1.0, 'student': 4.0, 'teacher': 20.0}[run], 'widths': [30, 30]},
        'commit': 'abcdef0123456789',
        'dirty': False,
        'finished': '2026-01-01T00:00:00Z',
        'steps': 2,
        'seconds': 60.0,
        'last': {'step': 2, 'test': test},
        'best': None,
        'best_by': {'student': 'errors'},
        'metrics': {'student': STATED},
        'analysis_units': {'matrix': {}, 'dark': {}},
        'history': [{'step': epoch, 'epoch': float(epoch), 'test': test} for epoch in (1, 2)],
        'analyses': {
            'matrix': [[1.0, 0.0], [0.01, None]],
            'dark': {'temperatures': [1, 4], 'examples': [dark]},
        },
    }


def write(directory: Path) -> Path:
    study = {
        'name': 'small',
        'variant': 'tiny',
        'title': 'A small study',
        'text': 'What *was* run.',
        'report': REPORT,
    }
    (directory / 'results').mkdir(parents=True)
    (directory / 'study.json').write_text(json.dumps(study))
    for run, errors in ERRORS.items():
        for seed, count in enumerate(errors):
            (directory / 'results' / f'{run}-s{seed}.json').write_text(json.dumps(result(run, seed, count)))
    return directory


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    return write(tmp_path / 'study')


@pytest.fixture
def loaded(study_dir: Path) -> tuple[Any, Any]:
    return load_results(study_dir)[:2]


@pytest.fixture
def edit_study(study_dir: Path) -> Callable[[Callable[[dict[str, Any]], Any]], None]:
    """`edit_study(change)` changes the study.json of `study_dir`."""

    def edit(change: Callable[[dict[str, Any]], Any]) -> None:
        path = study_dir / 'study.json'
        study = json.loads(path.read_text())
        change(study)
        path.write_text(json.dumps(study))

    return edit


@pytest.fixture(scope='session')
def report_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study with its report in the same directory; tests must not change it."""
    directory = write(tmp_path_factory.mktemp('built') / 'study')
    build_report(directory, directory)
    return directory
