"""Suggestions for mistyped names, and the first line of an error."""

import pickle

import pytest

from kd_jax.config.errors import Diverged, MachineError, UserError, first_line, suggest


def test_a_mistyped_name_gets_the_nearest_known_one():
    assert suggest('hiden', ['hidden', 'dropout']) == "Did you mean 'hidden'? Known: dropout, hidden."


def test_a_name_like_no_other_gets_all_known_ones():
    assert suggest('zzz', ['b', 'a']) == 'Known: a, b.'
    assert suggest('zzz', []) == 'Known: none.'
    assert suggest(3, ['a']) == 'Known: a.'


def test_the_first_line_of_an_error_has_no_full_stop_and_at_most_300_characters():
    assert first_line(ValueError('\n  wrong shape.\nmore')) == 'wrong shape'
    assert first_line(ValueError('x' * 400)) == 'x' * 300
    assert first_line(ValueError()) == 'ValueError'


@pytest.mark.parametrize('kind', [UserError, Diverged, MachineError])
def test_a_message_that_quotes_a_file_cannot_steer_the_terminal(kind):
    error = kind("run 'a\x1b[2J\x9b' is unknown")
    assert str(error) == r"run 'a\x1b[2J\x9b' is unknown"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
