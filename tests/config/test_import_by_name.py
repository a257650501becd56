"""Objects that a config names."""

import operator
import types

import pytest

from kd_jax.config.errors import UserError
from kd_jax.config.import_by_name import find_by_name, names_from_file, parameters_of, public_names


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
    assert found('operator:add') is operator.add
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
        ('builtins:int', "loss 'builtins:int' does not tell which parameters it takes; call it in a function of"),
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


def test_a_module_that_ends_the_program_is_one_sentence_too(tmp_path, monkeypatch):
    (tmp_path / 'module_that_exits.py').write_text('raise SystemExit(3)\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"loss 'module_that_exits:loss' cannot be imported \(SystemExit: 3\)"):
        found('module_that_exits:loss')


def test_positional_parameters_are_paths_and_keyword_only_ones_are_options():
    paths, options = parameters_of(double)
    assert paths == ('x', 'scale')
    assert list(options) == ['times']
    assert (options['times'].annotation, options['times'].default) == (int, 2)


def from_file(name, allowed=(), config=None):
    with names_from_file('r.json', config or {}, allowed, lambda names: f'Allow {" ".join(names)}.'):
        return found(name)


def test_a_name_from_a_file_is_imported_only_if_it_is_allowed(tmp_path, monkeypatch):
    (tmp_path / 'module_of_somebody.py').write_text('raise SystemExit("it ran")\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert from_file('double') is double
    assert from_file('operator:add', ['operator:add']) is operator.add
    config = {
        'a': [{'model': 'operator:add'}, 'run:teacher', 'torch:file', 'huggingface:folder'],
        'tokenizers': ['gguf:file', 'json:file', 'vocab:file'],
        'b': 'module_of_somebody:f',
        'c': 'text: no',
    }
    with pytest.raises(UserError) as error:
        from_file('module_of_somebody:f', ['math:pi'], config)
    assert str(error.value).startswith("r.json names the loss 'module_of_somebody:f'. Importing it runs code")
    assert str(error.value).endswith('Allow module_of_somebody:f operator:add.')
    assert found('operator:add') is operator.add


@pytest.mark.parametrize('name', ['run:main', '../there:f', 'a b:c', ':f', 'math:', 'math:a.b', '\x1b[1m:f'])
def test_what_is_no_name_is_not_imported(name):
    with pytest.raises(UserError, match=r'does not have the form|may come from anybody'):
        from_file(name)
