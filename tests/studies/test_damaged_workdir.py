"""Damage to any file of a work directory, finished or half-trained: one sentence, or the end is bit for bit the same.

The files inside a checkpoint have their own test, tests/training/test_saved_checkpoints.py.
"""

import gc
import pathlib
import re
import shutil

import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.data.sources import Source
from kd_jax.studies.execute import execute_group
from kd_jax.studies.stale_runs import changed_leaves
from kd_jax.studies.study import parse_study
from kd_jax.studies.workdir import Workdir
from tests.finished_runs import final_state, without_seconds
from tests.training.test_saved_checkpoints import DAMAGES

pytestmark = [
    pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning'),
    pytest.mark.filterwarnings('ignore:(?s)Exception ignored in.*coroutine:pytest.PytestUnraisableExceptionWarning'),
    pytest.mark.filterwarnings('ignore:Sharding info not provided:UserWarning'),
]
TEACHER, STUDENT = 'teacher-s0', 'student-s0'
WRITTEN_ONLY = ('.lock', 'tensorboard')  # nothing is ever read from these
MODEL = {'model': 'mlp', 'hidden': (4,), 'num_classes': 3}


def source():
    rng = np.random.default_rng(0)
    train, test = ({'image': rng.normal(size=(n, 5)).astype('f4'), 'label': np.arange(n) % 3} for n in (40, 9))
    return Source(train, test, 3)


def planned():
    common = {
        'data': {'source': source, 'valid': 10}, 'batch_size': 10, 'epochs': 3, 'checkpoint_seconds': 0.0,
        'optimizer': {'learning_rate': 0.1},
    }  # fmt: skip
    hard = {'loss': 'cross_entropy', 'logits': 'net.logits', 'labels': 'batch.label'}
    soft = {'loss': 'kd', 'student': 'net.logits', 'target': 'teacher.logits', 't': 2.0}
    teacher = {**MODEL, 'update': 'frozen', 'init': 'run:teacher'}
    runs = {
        'teacher': {**common, 'networks': {'net': MODEL}, 'terms': {'hard': hard}},
        'student': {**common, 'networks': {'teacher': teacher, 'net': MODEL}, 'terms': {'soft': soft}, 'cache': True},
    }
    return parse_study({'name': 'small', 'runs': runs, 'group_runs': False}, 'here')


class Stopped(Exception):
    """The process was killed."""


def go_on(path, stop_at=None):
    """What the command does with a work directory: refuses changed configs, and trains what is not finished."""
    study, workdir = planned(), Workdir(path)
    if changed := changed_leaves(study, workdir, study.runs):
        raise UserError(f'{path} has another config: {changed}')

    def progress(runs, done, *_):
        if (runs[0].id, done) == stop_at:
            raise Stopped

    for run in study.runs:
        (outcome,) = execute_group(study, (run,), workdir, progress)
        if isinstance(outcome, UserError):
            raise outcome
    return workdir


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp('whole')
    (path / 'results').mkdir()
    return go_on(path).path


@pytest.fixture(scope='module')
def half(tmp_path_factory):
    """The teacher is finished, and the student was killed after two of its three evaluations."""
    path = tmp_path_factory.mktemp('half')
    (path / 'results').mkdir()
    with pytest.raises(Stopped):
        go_on(path, stop_at=(STUDENT, 9))
    assert sorted(p.name for p in (path / 'runs' / STUDENT / 'checkpoints').iterdir()) == ['3', '6', 'newest.json']
    return path


def end(path):
    """What a study ends with, without what a clock says."""
    results = [Workdir(path).result(run_id) for run_id in (TEACHER, STUDENT)]
    kept = [{key: result[key] for key in ('steps', 'last', 'best', 'config', 'analyses')} for result in results]
    histories = [without_seconds(result['history']) for result in results]
    return (kept, histories), final_state(path / 'runs' / STUDENT)['params']


def files(path):
    """All files outside of checkpoints, by their names relative to the work directory."""
    found = [file.relative_to(path) for file in sorted(path.rglob('*')) if file.is_file()]
    outside = [
        name for name in found if 'caches' in name.parts or not any(part.isdecimal() for part in name.parts[2:-1])
    ]
    return [name for name in outside if not set(WRITTEN_ONLY) & set(name.parts)]


def tried(before, name, damage, path, assert_bitwise, wanted):
    """Damages a file of a copy of a work directory and goes on; returns the sentence, or '' if the end is the same."""
    shutil.copytree(before, path)
    damage(path / name)
    try:
        go_on(path)
    except UserError as error:
        said = str(error)
        assert '\n' not in said
        assert str(path / 'caches' if 'caches' in name.parts else path / name) in said, (name, said)
        assert any(way in said for way in ('delete', 'put a copy back')), (name, said)
        return said
    finally:
        gc.collect()
    results, parameters = end(path)
    assert results == wanted[0], name
    assert_bitwise(parameters, wanted[1])
    return ''


@pytest.mark.parametrize('damage', ['a bit is flipped', 'it is cut in half', 'it is deleted'])
def test_damage_to_a_half_trained_study(damage, half, whole, tmp_path, assert_bitwise):
    # Of the teacher, training reads its checkpoint and its result; its other files have their turn below.
    names = [name for name in files(half) if TEACHER not in name.parts or name.name == 'newest.json']
    wanted = end(whole)
    assert len(names) > 8
    names = names if damage == 'it is cut in half' else names[len(damage) % 2 :: 2]  # to save time
    for number, name in enumerate(names):
        tried(half, name, DAMAGES[damage], tmp_path / str(number), assert_bitwise, wanted)
        shutil.rmtree(tmp_path / str(number))


@pytest.mark.parametrize('damage', ['a digit is edited', 'it is empty', 'it is deleted'])
def test_damage_to_a_finished_study(damage, whole, tmp_path, assert_bitwise):
    wanted, count = end(whole), 0
    results = [name for name in files(whole) if name.parent.name == 'results']
    others = [name for name in files(whole) if name.name in ('config.json', 'metrics.jsonl', 'newest.json')]
    assert (len(results), len(others)) == (2, 8)
    for name in [*results, *others]:
        said = tried(whole, name, DAMAGES[damage], tmp_path / 'copy', assert_bitwise, wanted)
        shutil.rmtree(tmp_path / 'copy')
        count += bool(said)
    assert count == (2 if damage == 'it is deleted' else 4)  # a deleted result is made again from the last checkpoint


@pytest.mark.parametrize(
    ('lost', 'said'),
    [
        (
            f'runs/{TEACHER}/checkpoints/9',
            f"run 'student', network 'teacher': the checkpoint .*{TEACHER}/checkpoints/9 is",
        ),
        (f'runs/{STUDENT}/best', r"run 'student': the best checkpoint .*/best/\d is missing or damaged; put a copy"),
        (f'runs/{STUDENT}/checkpoints/6', ''),
        (f'runs/{STUDENT}/checkpoints', ''),
        (f'runs/{STUDENT}', ''),
        ('caches', ''),
    ],
)
def test_a_lost_directory(lost, said, half, whole, tmp_path, assert_bitwise):
    found = tried(half, pathlib.Path(lost), shutil.rmtree, tmp_path / 'copy', assert_bitwise, end(whole))
    assert re.search(said, found)
    assert bool(found) == bool(said)
