"""The schemas of files: every committed result fits them, and what would break the code behind does not."""

import copy
import pathlib

import msgspec
import pytest

from kd_jax.config.checked_json import read_checked
from kd_jax.config.file_schemas import HistoryRow, Manifest, ReportSection, ResultFile, StudyFile

RESULTS = pathlib.Path(__file__).parents[2] / 'experiments' / 'results'


def test_every_committed_result_fits():
    paths = sorted(RESULTS.glob('*/results/*.json'))
    assert len(paths) > 500
    for path in paths:
        read_checked(path, ResultFile, '')


def test_every_committed_study_and_its_report_section_fit():
    paths = sorted(RESULTS.glob('*/study.json'))
    assert paths
    for path in paths:
        study = read_checked(path, StudyFile, '').content
        msgspec.convert(study['report'], ReportSection)


METRICS = {'net': {'errors': 3, 'nll': None}}
ROW = {'step': 3, 'epoch': 1.0, 'seconds': 2.0, 'terms': {'hard': 0.5}, 'valid': METRICS, 'test': METRICS}
RESULT = {
    'study': 'a', 'run': 'b', 'seed': 0, 'config': {'t': 1.0}, 'steps': 3, 'seconds': 2.0,
    'last': {'step': 3, 'epoch': 1.0, 'test': METRICS}, 'best': {'step': 3, 'valid': METRICS}, 'history': [ROW],
    'metrics': {'net': {'errors': {'unit': 'count', 'better': 'lower'}}}, 'best_by': {'net': 'errors'},
    'analysis_units': {'bias': {'errors': 'count'}},
}  # fmt: skip
MANIFEST = {'done': 1, 'parts': 2, 'fingerprint': {'seed': None}}
WRONG = [
    (ResultFile, RESULT, ('seed',), 'x'),
    (ResultFile, RESULT, ('run',), ''),
    (ResultFile, RESULT, ('config',), []),
    (ResultFile, RESULT, ('seconds',), None),
    (ResultFile, RESULT, ('steps',), -1),
    (ResultFile, RESULT, ('last',), None),
    (ResultFile, RESULT, ('last', 'test', 'net'), 3),
    (ResultFile, RESULT, ('last', 'test', 'net', 'errors'), 'x'),
    (ResultFile, RESULT, ('best', 'valid'), []),
    (ResultFile, RESULT, ('history',), {}),
    (ResultFile, RESULT, ('history', 0, 'step'), None),
    (ResultFile, RESULT, ('history', 0), None),
    (ResultFile, RESULT, ('metrics', 'net', 'errors', 'better'), 'up'),
    (ResultFile, RESULT, ('best_by', 'net'), 3),
    (ResultFile, RESULT, ('analysis_units', 'bias', 'errors'), None),
    (HistoryRow, ROW, ('step',), 1.5),
    (HistoryRow, ROW, ('terms', 'hard'), {}),
    (HistoryRow, ROW, ('valid', 'net'), None),
    (Manifest, MANIFEST, ('done',), -1),
    (Manifest, MANIFEST, ('fingerprint',), []),
]


@pytest.mark.parametrize(('schema', 'good', 'path', 'wrong'), WRONG)
def test_a_value_of_another_type_does_not_fit(schema, good, path, wrong):
    msgspec.convert(good, schema)
    bad = copy.deepcopy(good)
    at = bad
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = wrong
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, schema)
