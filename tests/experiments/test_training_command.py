"""Settings of the process: open files, where compiled programs are kept, and a platform that is supported."""

import pathlib
import resource
import subprocess
import sys
import tempfile

import jax
import pytest

from experiments import training_command
from kd_jax.config.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def test_the_limit_of_open_files_is_raised_as_far_as_allowed():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        training_command.allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(2**16, hard % 2**63), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def no_home(monkeypatch, settings_as_before):
    monkeypatch.setenv('HOME', '/dev/null')


@pytest.mark.usefixtures('no_home')
def test_without_a_home_directory_nothing_is_kept_and_one_sentence_says_so(caplog):
    training_command.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None
    assert [record.getMessage() for record in caplog.records] == [
        'The home directory cannot be written, so compiled programs are not kept; HOME sets another one.'
    ]


@pytest.mark.usefixtures('no_home')
def test_no_place_for_temporary_files_either_is_refused(monkeypatch):
    def gettempdir():
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, 'gettempdir', gettempdir)
    with pytest.raises(UserError, match='set TMPDIR to such a directory'):
        training_command.keep_compiled_programs()


def test_a_user_without_a_home_directory_has_no_cache(monkeypatch):
    def home():
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.setattr(pathlib.Path, 'home', home)
    assert training_command.cache_directory() is None


@pytest.mark.parametrize('change', ['os.name = "nt"', 'sys.version_info = (3, 10, 2)'])
def test_a_platform_that_is_not_supported_is_one_sentence(change):
    script = f'import os, sys; {change}; import experiments'
    ended = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (2, '')
    assert ended.stdout.startswith('error: kd_jax needs Python 3.11 or newer on Linux or macOS, but this is Python 3.1')
    assert len(ended.stdout.splitlines()) == 1
