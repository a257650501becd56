"""A study whose teacher evaluates and saves twelve times, so there is time to kill its worker in between."""

import pathlib

import pytest

from kd_jax.config.config_file import load_config
from kd_jax.studies import executors
from kd_jax.studies.study import parse_study
from tests.studies.executors.killed_workers import execute

CONFIG = str(pathlib.Path(__file__).parents[2] / 'tiny_config.py')


@pytest.fixture(scope='module')
def planned():
    quick = ['runs.teacher.epochs=6.0', 'runs.teacher.data.augment.crop=0', 'runs.student.data.augment.crop=0']
    config, _ = load_config(CONFIG, quick)
    return parse_study(config, 'tiny')


@pytest.fixture(scope='module')
def uninterrupted(planned, tmp_path_factory):
    # Once a session: several files compare with it. Its scope is a module as that of `quick_compilation`.
    path = tmp_path_factory.getbasetemp() / 'uninterrupted'
    if not path.exists():
        execute(executors.in_process(), planned, path)
    return path
