"""Globs of names of runs."""

import pytest

from kd_jax.config.name_globs import matching, split_globs


def test_a_name_with_brackets_matches_itself_and_globs_work_as_ever():
    names = ['net[1]', 'net1', 'other', 'NET1']
    assert matching('net[1]', names) == ['net[1]']
    assert matching('net*', names) == ['net[1]', 'net1']
    assert matching('net[1-2]', names) == ['net1']
    assert matching('nothing', names) == []


@pytest.mark.parametrize(
    ('text', 'globs'),
    [
        ('a', ['a']),
        ('a,b*', ['a', 'b*']),
        ('a,,b,', ['a', 'b']),
        ('x(8,)', ['x(8,)']),
        ('a,x(8,),b', ['a', 'x(8,)', 'b']),
        ('x(8,),x(8,4)', ['x(8,)', 'x(8', '4)']),  # no name is x(8,4)
        ('', []),
    ],
)
def test_commas_separate_globs_but_a_name_with_commas_stays_whole(text, globs):
    assert split_globs(text, {'a', 'b', 'x(8,)'}) == globs
