"""Errors inside the user's own code are explained by their line there."""

import importlib.util
import json
import sys

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.config.own_code import PACKAGE, explain_own_code, explained, line_of_own_code

CODE = """
import jax.numpy as jnp


def mistake():
    return undefined_name


def shapes():
    return jnp.zeros(3) @ jnp.zeros(4)


def calls(function):
    return function()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'losses_of_mine.py').write_text(CODE)
    spec = importlib.util.spec_from_file_location('losses_of_mine', tmp_path / 'losses_of_mine.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raised(function, *arguments):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function(*arguments)
    caught.value.__traceback__ = caught.value.__traceback__.tb_next  # without this file, which is code of others, too
    return caught.value


def test_the_innermost_line_of_own_code_is_named_with_the_error(own):
    assert explained(raised(own.mistake)) == (
        "NameError: name 'undefined_name' is not defined (losses_of_mine.py, line 6)"
    )
    error = raised(jax.eval_shape, own.shapes)
    assert explained(error).startswith('TypeError: dot_general requires')
    assert explained(error).endswith('(losses_of_mine.py, line 10)')


def test_an_error_that_libraries_or_kd_jax_raise_for_own_code_has_the_line_that_called_them(own):
    def inside():
        return np.zeros(3).reshape(2)

    inside.__code__ = inside.__code__.replace(co_filename=str(PACKAGE / 'losses' / 'logits.py'))
    assert line_of_own_code(raised(own.calls, inside)) == 'losses_of_mine.py, line 14'
    assert line_of_own_code(raised(inside)) == ''
    assert line_of_own_code(raised(json.loads, '{')) == ''


def test_a_package_of_the_user_may_be_installed(own, tmp_path, monkeypatch):
    monkeypatch.setattr('kd_jax.config.own_code.INSTALLED', (tmp_path,))
    assert line_of_own_code(raised(own.mistake)) == 'losses_of_mine.py, line 6'
    monkeypatch.setattr('kd_jax.config.own_code.LIBRARIES', ('losses_of_mine.py',))
    assert line_of_own_code(raised(own.mistake)) == ''


def test_only_errors_of_own_code_become_a_sentence(own):
    said = r"^source 'mine' fails: NameError: .* \(losses_of_mine.py, line 6\)\.$"
    with pytest.raises(UserError, match=said), explain_own_code("source 'mine' fails"):
        own.mistake()
    refusal = UserError('data.path is missing.')
    with pytest.raises(UserError) as caught, explain_own_code('source'):
        raise refusal
    assert caught.value is refusal
    assert explained(refusal) == 'data.path is missing'
    assert 'losses_of_mine' not in sys.modules
