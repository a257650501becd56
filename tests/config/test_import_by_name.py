"""Objects that a config names."""

import math
import types

import pytest

from kd_jax.config.errors import UserError
from kd_jax.config.import_by_name import find_by_name, parameters_of, public_names


def double(x, scale: 'float', *, times: 'int' = 2):
    return times * scale * x


def hidden(x):
    return x


MODULE = types.ModuleType('registry')
MODULE.double, MODULE.hidden, MODULE.__all__ = double, hidden, ['double']


def found(name):
    return find_by_name(name, MODULE, 'loss', "term 'hard'")


def test_a_public_name_a_path_to_an_attribute_and_a_callable_are_found():
    assert found('double') is double
    assert found('math:hypot') is math.hypot
    assert found(hidden) is hidden
    assert public_names(MODULE) == {'double': double}


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('doubel', r"term 'hard': there is no loss 'doubel'. Did you mean 'double'\?"),
        ('hidden', "there is no loss 'hidden'"),
        (7, 'there is no loss 7'),
        ('', "term 'hard': no loss is named. Known: double"),
        ('math:hypo', "loss 'math:hypo' cannot be imported"),
        ('no_such_module:f', 'cannot be imported .*no_such_module'),
        ('math:pi', r"loss 'math:pi' is 3\.14.*, which cannot be called"),
    ],
)
def test_a_name_of_nothing_is_refused_with_its_place(name, message):
    with pytest.raises(UserError, match=message):
        found(name)


def test_a_mistake_in_the_code_of_a_module_is_quoted_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / 'module_with_a_mistake.py').write_text('def loss(:\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"term 'hard': loss 'module_with_a_mistake:loss' .*\(SyntaxError: .*line 1\)"):
        found('module_with_a_mistake:loss')


def test_positional_parameters_are_paths_and_keyword_only_ones_are_options():
    paths, options = parameters_of(double)
    assert paths == ('x', 'scale')
    assert list(options) == ['times']
    assert (options['times'].annotation, options['times'].default) == (int, 2)
