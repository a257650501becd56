"""The study of the report's tests, for the commands that show it; the tiny study, trained, for those that train."""

import shutil

import pytest

from experiments import run
from kd_jax.studies import execute
from tests.refusals import CONFIG
from tests.report.conftest import study_dir as study_dir


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr(run.report, 'build_report', lambda *_: None)
    monkeypatch.setattr(run.report, 'load_results', lambda *_: ())
    monkeypatch.setattr(run.report, 'print_tables', lambda *_: None)


@pytest.fixture
def trained(monkeypatch, without_report):
    """The directories of runs that a command would train; nothing is trained."""
    directories = []

    def noted(tasks, *_, **__):
        directories.extend(task.directory for task in tasks)
        return [{'last': {'test': {}}, 'seconds': 0.0} for _ in tasks]

    monkeypatch.setattr(execute, 'train_group', noted)
    return directories


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """The work directory of a finished study; not to be written."""
    workdir = tmp_path_factory.mktemp('finished')
    assert run.main([CONFIG, f'--workdir={workdir}']) == 0
    return workdir


@pytest.fixture
def work(finished, tmp_path):
    """A copy of the finished study."""
    return shutil.copytree(finished, tmp_path / 'work')
