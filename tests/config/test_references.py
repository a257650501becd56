"""References from one run to another."""

import pathlib

import pytest

from kd_jax.config.errors import UserError
from kd_jax.config.references import (
    ResultReference,
    RunDirectory,
    RunReference,
    WeightsFile,
    children,
    leaves,
    map_leaves,
    parse_init,
    parse_reference,
    runs_referred_to,
    with_runs_renamed,
)

CONFIG = {
    'networks': {'teacher': {'init': 'run:big/net', 'hidden': (8, 8)}, 'other': {'init': 'torch:run:x.pth'}},
    'optimizer': {'learning_rate': 'result:search.best.lr', 'peers': ['run:small', 'run:big']},
}


@pytest.mark.parametrize(
    ('text', 'parsed'),
    [
        ('run:teacher', RunReference('teacher')),
        ('run:teacher/net', RunReference('teacher', 'net')),
        ('torch:a/b.pth', WeightsFile('torch:', 'a/b.pth')),
        ('gguf:a/b.gguf', WeightsFile('gguf:', 'a/b.gguf')),
        ('huggingface:a/b', WeightsFile('huggingface:', 'a/b')),
        ('work/runs/teacher-s0', RunDirectory(pathlib.Path('work/runs/teacher-s0'))),
    ],
)
def test_an_init_is_a_run_a_file_or_a_directory(text, parsed):
    assert parse_init(text) == parsed


@pytest.mark.parametrize(
    ('text', 'meant'), [('hugginface:/a', 'huggingface:'), ('ggf:a.gguf', 'gguf:'), ('runs:teacher', 'run:')]
)
def test_an_init_that_begins_almost_like_a_kind_of_file_is_refused_with_the_nearest(text, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        parse_init(text)
    assert str(error.value) == f'init is {text!r}, and there is no such directory. Did you mean {meant!r}?'
    if '/' not in text:
        (tmp_path / text).mkdir()
        assert parse_init(text) == RunDirectory(pathlib.Path(text))


def test_a_reference_reads_as_it_was_written_and_other_values_are_none():
    for text in ('run:teacher', 'run:teacher/net', 'result:search', 'result:search.best.lr'):
        assert str(parse_reference(text)) == text
    assert parse_reference('result:a.b.c') == ResultReference('a', ('b', 'c'))
    assert [parse_reference(value) for value in ('torch:x', 'teacher', 3, None)] == [None] * 4


def test_leaves_are_visited_in_order_and_mapped_in_place():
    assert list(leaves({'a': (1, [2, {'b': 3}]), 'c': 4})) == [1, 2, 3, 4]
    assert map_leaves(lambda leaf: -leaf, {'a': (1, [2])}) == {'a': (-1, [-2])}


def test_the_runs_of_a_config_come_once_each_in_order():
    assert runs_referred_to(CONFIG) == ('big', 'search', 'small')


def test_a_renamed_run_is_renamed_in_every_reference_and_nothing_else_changes():
    renamed = with_runs_renamed(CONFIG, {'big': 'huge', 'search': 'tuned'})
    assert renamed['networks']['teacher'] == {'init': 'run:huge/net', 'hidden': (8, 8)}
    assert renamed['networks']['other'] == CONFIG['networks']['other']
    assert renamed['optimizer'] == {'learning_rate': 'result:tuned.best.lr', 'peers': ['run:small', 'run:huge']}


@pytest.mark.parametrize(
    ('text', 'parsed'),
    [
        ('run:teacher@best', RunReference('teacher', '', 'best')),
        ('run:teacher@best/net', RunReference('teacher', 'net', 'best')),
        ('runs/x/teacher-s0@best', RunDirectory(pathlib.Path('runs/x/teacher-s0'), 'best')),
        ('me@home/teacher-s0', RunDirectory(pathlib.Path('me@home/teacher-s0'), 'last')),
        ('torch:a@best.pt', WeightsFile('torch:', 'a@best.pt')),
    ],
)
def test_a_run_or_a_directory_may_name_its_best_checkpoint(text, parsed):
    assert parse_init(text) == parsed
    if isinstance(parsed, RunReference):
        assert parse_reference(text) == parsed
        assert str(parsed) == text


def test_the_last_checkpoint_may_be_named_too():
    assert parse_init('run:teacher@last') == parse_init('run:teacher')


def test_an_unknown_checkpoint_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"'teacher@bst': a run has no checkpoint 'bst'. Did you mean 'best'\?"):
        parse_init('run:teacher@bst/net')


def test_a_run_is_found_and_renamed_whatever_its_checkpoint():
    assert runs_referred_to({'init': 'run:x@best/net'}) == ('x',)
    assert with_runs_renamed({'init': 'run:x@best/net'}, {'x': 'z'}) == {'init': 'run:z@best/net'}


def test_children_are_named_by_key_or_by_number():
    assert children({'a': 1}) == {'a': 1}
    assert children((5, [6])) == children([5, [6]]) == {'0': 5, '1': [6]}
    assert children('ab') == children(None) == children(7) == {}
