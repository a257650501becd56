"""Whatever stands in a study.json or a result file: there is a report, or one sentence that names the file."""

import copy
import json
import pathlib
import shutil

import pytest
from matplotlib.figure import Figure

from kd_jax.config.errors import UserError
from kd_jax.report import figures
from kd_jax.report.build import build_report
from tests.report.conftest import ERRORS, result, write

WRONG = (None, [], {}, 'word', float('nan'), 'missing')
# What is drawn as figures takes longest, so every kind of figure is tried with these parts alone.
STUDY = {
    'name': 'small', 'title': 'A study', 'text': '', 'variant': 'tiny', 'seeds': 1, 'command': 'python -m a',
    'runs': {run: result(run, 0, 4)['config'] for run in ERRORS},
}  # fmt: skip


def paths(tree, path=()):
    """The paths of all values of a tree, dictionaries and lists among them; of a list the first value."""
    for key, value in tree.items() if isinstance(tree, dict) else list(enumerate(tree))[:1]:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


def replaced(tree, path, value):
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at[key]
    if value == 'missing':
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return tree


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A study of one seed; its figures are made and not written, and all that is read is checked by `tried`."""
    monkeypatch.setattr(Figure, 'savefig', lambda self, path, **_: pathlib.Path(path).write_bytes(b''))
    write(tmp_path)
    for path in (tmp_path / 'results').glob('*-s[12].json'):
        path.unlink()
    return tmp_path


def tried(small, name, wrongs=WRONG):
    """Replaces each value of a file in turn; returns how many of the files were refused, and how many were read."""
    path, counts = small / name, [0, 0]
    good = json.loads(path.read_text())
    for at in paths(good):
        for wrong in wrongs:
            path.write_text(json.dumps(replaced(good, at, wrong)))
            try:
                build_report(small, small)
                counts[1] += 1
            except UserError as error:
                said = str(error)
                assert '\n' not in said
                assert str(path) in said or 'report' in said or 'small' in said, (at, wrong, said)
                counts[0] += 1
            except Exception as error:
                raise AssertionError(f'{name}, {at} = {wrong!r}') from error
    return counts


def test_every_value_of_study_json(small, monkeypatch):
    monkeypatch.setattr(figures, 'draw', lambda *_: [])
    path = small / 'study.json'
    report = json.loads(path.read_text())['report']
    path.write_text(json.dumps({**STUDY, 'report': {'tables': report['tables'], 'claims': report['claims']}}))
    refused, read = tried(small, 'study.json')
    assert refused > 150
    assert read > 20


@pytest.mark.parametrize('figure', ['sweep', 'bars', 'matrices', 'dark'])
def test_every_value_of_a_figure(figure, small):
    path = small / 'study.json'
    entry = json.loads(path.read_text())['report']['figures'][figure]
    path.write_text(json.dumps({'name': 'small', 'report': {'figures': {figure: entry}}}))
    assert tried(small, 'study.json')[0] > 10


def test_every_value_of_a_result(small):
    shutil.rmtree(small / 'figures', ignore_errors=True)
    study = json.loads((small / 'study.json').read_text())
    study['report'] = {'tables': study['report']['tables'], 'figures': {'dark': study['report']['figures']['dark']}}
    (small / 'study.json').write_text(json.dumps(study))
    refused, read = tried(small, 'results/student-s0.json', (None, {}, 'missing'))
    assert refused > 60
    assert read > 30
