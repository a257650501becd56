"""Control characters are shown, never obeyed."""

import pytest

from kd_jax.config.visible_text import visible


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('\x1b[31mred', r'\x1b[31mred'),
        ('a\rb\x07\x9b2J\x7f', r'a\rb\x07\x9b2J\x7f'),
        ('abc\u202ecba', r'abc\u202ecba'),
        ('\ud800', r'\ud800'),
        ('a\nb\tc', 'a\nb\tc'),
        ('ü, 漢, 😀, ±, [x], :one:', 'ü, 漢, 😀, ±, [x], :one:'),
    ],
)
def test_what_a_terminal_would_obey_is_escaped_and_nothing_else(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown
