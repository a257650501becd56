"""Globs of names of runs."""

from kd_jax.config.name_globs import matching


def test_a_name_with_brackets_matches_itself_and_globs_work_as_ever():
    names = ['net[1]', 'net1', 'other', 'NET1']
    assert matching('net[1]', names) == ['net[1]']
    assert matching('net*', names) == ['net[1]', 'net1']
    assert matching('net[1-2]', names) == ['net1']
    assert matching('nothing', names) == []
