"""Where a result comes from."""

import sys
import types

import jax
import numpy as np
import pytest

from kd_jax.training.provenance import command, of_this_process


@pytest.mark.parametrize(
    ('module', 'typed'),
    [
        ('experiments.run', "python -m experiments.run '--only=a b'"),
        ('experiments.__main__', "python -m experiments '--only=a b'"),
        (None, "python run.py '--only=a b'"),
    ],
)
def test_the_command_is_what_a_shell_would_be_told(module, typed, monkeypatch):
    spec = module and types.SimpleNamespace(name=module)
    monkeypatch.setitem(sys.modules, '__main__', types.SimpleNamespace(__spec__=spec))
    monkeypatch.setattr(sys, 'argv', ['/some/where/run.py', '--only=a b'])
    assert command() == typed


def test_machine_and_versions_are_those_of_the_first_call(monkeypatch):
    first = of_this_process()
    assert first['hardware']['devices'] == jax.device_count()
    assert first['hardware']['backend'] == jax.default_backend()
    assert first['hardware']['cores'] >= 1
    assert first['versions']['numpy'] == np.__version__
    assert first['versions']['python'] == '.'.join(map(str, sys.version_info[:3]))
    monkeypatch.setattr(sys, 'argv', ['another.py'])
    assert of_this_process() == first


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setenv('PATH', '')
    found = of_this_process.__wrapped__()
    assert found['commit'] is None
    assert found['dirty'] is False
