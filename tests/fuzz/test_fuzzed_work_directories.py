"""Whatever stands in a work directory, each command does its work, or says one sentence."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import export, report, run
from kd_jax.config.checked_json import CHECKSUM, with_checksum
from tests import chain_study
from tests.fuzz import valid_configs
from tests.fuzz.amount import examples
from tests.fuzz.mutations import EXTREME, JSON_VALUES, ODD, changed_bytes, changed_tree, node, paths, replaced
from tests.fuzz.outcomes import ends_well

pytestmark = pytest.mark.usefixtures('settings_as_before')
CONFIG = f'--config={valid_configs.FILE}'
FINITE = [value for value in (*EXTREME, *JSON_VALUES) if value == value and value not in (EXTREME[-3], EXTREME[-2])]


@pytest.fixture(scope='module')
def study(tmp_path_factory):
    """The config of a study, its report, and its finished work directory."""
    made = tmp_path_factory.mktemp('fuzz')
    config, described = valid_configs.studies(chain_study.data(made / 'data.npz'))['taught']
    described = {'tables': described['tables'], 'claims': described['claims']}  # figures take longest
    valid_configs.GIVEN.update(config=config, report=described)
    assert run.main([CONFIG, f'--workdir={made / "work"}']) == 0
    return config, described, made / 'work'


def commands(work):
    return {
        'plan': (run.main, [CONFIG, f'--workdir={work}', '--plan']),
        'run': (run.main, [CONFIG, f'--workdir={work}']),
        'report': (report.main, [f'--workdir={work}', f'--out={work.parent / "report"}']),
        'export': (
            export.main, [f'--workdir={work}', '--run=student-s0', '--network=student', f'--out={work.parent / "out"}']
        ),
    }  # fmt: skip


def damaged_copy(study, data, begins):
    """A copy of the work directory, one file of which was changed; `begins` chooses among the files by their paths."""
    config, described, finished = study
    valid_configs.GIVEN.update(config=config, report=described)
    work = finished.parent / 'copy' / 'work'
    shutil.rmtree(work.parent, ignore_errors=True)
    shutil.copytree(finished, work, symlinks=True)
    files = sorted(str(path.relative_to(work)) for path in work.rglob('*') if path.is_file() and path.name != '.lock')
    path = work / data.draw(st.sampled_from([name for name in files if name.startswith(begins)]))
    if path.suffix == '.json' and data.draw(st.integers(0, 3)):
        content = data.draw(changed_json(json.loads(path.read_text())))
        path.write_text(json.dumps(content, allow_nan=False))
    else:
        path.write_bytes(data.draw(changed_bytes(path.read_bytes())))
    return work


@st.composite
def changed_json(draw, content):
    """A changed file of JSON, with a checksum that fits, without one, or with that of before."""
    changed = draw(changed_tree(content, values=FINITE))
    kind = draw(st.sampled_from(('new', 'none', 'old')))
    if kind == 'old' or not isinstance(changed, dict):
        return changed
    changed.pop(CHECKSUM, None)
    return with_checksum(changed) if kind == 'new' else changed


@examples(10)
@given(data=st.data())
def test_a_plan_in_a_damaged_work_directory_is_shown_or_refused(study, data):
    ends_well(*commands(damaged_copy(study, data, ('study.json', 'results', 'runs')))['plan'])


@examples(4)
@given(data=st.data())
def test_a_report_of_damaged_results_is_made_or_refused(study, data):
    ends_well(*commands(damaged_copy(study, data, ('study.json', 'results')))['report'])


@examples(2)
@given(data=st.data())
def test_an_export_of_a_damaged_run_is_made_or_refused(study, data):
    begins = data.draw(st.sampled_from(('results/student', 'runs/student', 'study.json')))
    ends_well(*commands(damaged_copy(study, data, begins))['export'])


@examples(2)
@given(data=st.data())
def test_a_study_goes_on_from_damaged_files_or_is_refused(study, data):
    work = damaged_copy(study, data, ('runs', 'caches', 'study.json'))
    for path in (work / 'results').glob(data.draw(st.sampled_from(('*', 'student*', 'teacher*')))):
        path.unlink()
    ends_well(*commands(work)['run'], several_lines=True)


@examples(2)
@given(data=st.data())
def test_extreme_numbers_train_or_are_refused(study, data):
    config, described, finished = study
    for _ in range(data.draw(st.integers(1, 2))):
        numbers = [path for path in paths(config) if type(node(config, path)) in (int, float)]
        path, new = data.draw(st.sampled_from(numbers)), data.draw(st.sampled_from(EXTREME))
        config = replaced(config, path, lambda parent, key, new=new: parent.__setitem__(key, new))
    valid_configs.GIVEN.update(config=config, report=described)
    shutil.rmtree(finished.parent / 'trained', ignore_errors=True)
    ends_well(run.main, [CONFIG, f'--workdir={finished.parent / "trained"}'], several_lines=True)


MODEST = {'epochs': 3, 'seeds': 2, 'copies': 8, 'workers': 2, 'views': 3, 'num_classes': 1000}


def modest(config):
    """Whether a study trains in seconds: nothing that multiplies its work is large."""
    numbers = [(path[-1], node(config, path)) for path in paths(config) if path[-1] in MODEST]
    return all(number <= MODEST[key] for key, number in numbers if isinstance(number, int | float))


@examples(2)
@given(data=st.data())
def test_what_is_planned_is_trained_or_refused_in_one_sentence(study, data):
    studies = valid_configs.studies(study[0]['runs']['teacher']['data'])
    config, described = studies[data.draw(st.sampled_from(sorted(studies)))]
    config = data.draw(changed_tree(config, [one for one, _ in studies.values()], (*EXTREME, *JSON_VALUES, *ODD), 1))
    valid_configs.GIVEN.update(config=config, report=described)
    directory = study[2].parent / 'trained'
    shutil.rmtree(directory, ignore_errors=True)
    arguments = [CONFIG, f'--workdir={directory}']
    code, _ = ends_well(run.main, [*arguments, '--plan'])
    if code == 0 and modest(config):
        ends_well(run.main, arguments, several_lines=True)
