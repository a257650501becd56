"""A config with an old name gets a sentence with the new one, and docs/renamed.md shows the table in the code."""

import importlib
import pathlib

import pytest

from kd_jax.config import renamed
from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.import_by_name import find_by_name
from kd_jax.studies.study import parse_study

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'renamed.md'


@pytest.mark.parametrize('old', renamed.MODULES)
def test_every_new_module_exists_and_stands_on_the_page(old):
    news = [f'kd_jax.{new}' for new in renamed.MODULES[old].split(', ')]
    for new in news:
        importlib.import_module(new)
    assert f'| `kd_jax.{old}` | {", ".join(f"`{new}`" for new in news)} |' in PAGE.read_text()


@pytest.mark.parametrize(('old', 'new'), renamed.OPTIONS.items())
def test_an_old_option_gets_its_new_name_where_that_is_known(old, new):
    assert suggest(old, [new, 'other']) == f'It is called {new!r} now.'
    assert 'called' not in suggest(old, ['other'])
    assert f'| `{old}` | `{new}` |' in PAGE.read_text()


@pytest.mark.parametrize(
    ('option', 'old'), [(option, old) for option in renamed.VALUES for old in renamed.VALUES[option]]
)
def test_an_old_value_gets_what_to_write_now(option, old):
    new = renamed.VALUES[option][old]
    assert renamed.new_value(option, old) == f'It is now {new}.'
    assert renamed.new_value(option, 'other') == renamed.new_value('other', old) == ''
    assert f"| `{option}='{old}'` | `{new}` |" in PAGE.read_text()


def test_an_old_study_is_refused_with_the_new_name():
    with pytest.raises(UserError, match=r"there is no option 'pack'\. It is called 'group_runs' now\."):
        parse_study({'name': 'old', 'runs': {'a': {}}, 'pack': False}, 'old.py')


@pytest.mark.parametrize(
    'line', ['from kd_jax import sweeps', 'import kd_jax.sweeps', 'from kd_jax.sweeps import grid']
)
def test_an_old_import_in_a_config_is_refused_with_the_new_name(line, tmp_path):
    (tmp_path / 'old.py').write_text(f'{line}\ndef get_config(variant): return {{}}\n')
    (tmp_path / 'within.py').write_text(f'def get_config(variant):\n    {line}\n')
    for file in ('old.py', 'within.py'):
        with pytest.raises(UserError, match=r'kd_jax.sweeps is now kd_jax.config.sweeps\.'):
            load_config(str(tmp_path / file))


def test_an_old_function_in_a_config_is_refused_with_the_new_one(tmp_path):
    (tmp_path / 'old.py').write_text('from kd_jax.config.sweeps import zip_\ndef get_config(variant): return {}\n')
    for new in renamed.FUNCTIONS.values():
        assert new in PAGE.read_text().replace('`', '')
    with pytest.raises(UserError, match='zip_ is now grid, with a tuple of paths as a key'):
        load_config(str(tmp_path / 'old.py'))


def test_an_old_name_of_an_object_is_refused_with_the_new_name():
    from kd_jax import losses

    with pytest.raises(UserError, match=r'kd_jax\.losses\.peers is now kd_jax\.losses\.mutual_learning and'):
        find_by_name('kd_jax.losses.peers:kdcl', losses, 'loss', 'here')
