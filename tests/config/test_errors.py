"""Suggestions for mistyped names, and the first line of an error."""

from kd_jax.config.errors import first_line, suggest


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
