"""Texts on pages: no HTML, no scripts, no links but to http, https and relative places."""

import re

import pytest
from markdown_it import MarkdownIt

from kd_jax.report.prose import allowed_link, code_span, escape_markdown, html_prose, markdown_prose

ATTACKS = [
    '<script>alert(1)</script>',
    'a <img src=x onerror=alert(1)> b',
    '<!-- hides the rest',
    '[x](javascript:alert(1))',
    '[x](JavaScript&colon;alert(1))',
    '[x](data:text/html,<script>)',
    '[x](file:///etc/passwd)',
    '<javascript:alert(1)>',
    '[x][a]\n\n[a]: javascript:alert(1)',
    '[a]: javascript:alert(1)',
    '![x](https://example.org/x.png)',
    '```\nhides the rest',
]
HARMLESS = [
    'What *was* run, with `a<b>` and 1 < 2.',
    '[x](https://a.b) and [y](docs/a.md), <https://a.b>',
    '- one\n- two\n\n1. three',
    '```\ncode\n```',
    '',
]


def rendered(markdown):
    """What a reader of a Markdown page gets: its tags, links and text."""
    reader = MarkdownIt('commonmark', {'html': True})
    reader.validateLink = lambda url: True
    return [token for block in reader.parse(markdown) for token in (block, *(block.children or ()))]


@pytest.mark.parametrize('text', ATTACKS)
def test_attacks_in_prose_are_shown_as_text(text):
    assert '<script' not in html_prose(text)
    assert all(url.startswith('https:') for url in re.findall('href="(.*?)"', html_prose(text)))
    assert '<img' not in html_prose(text)
    tokens = rendered(f'{markdown_prose(text)}\n\n[x][a]\n\nend')
    assert {token.type for token in tokens} <= {'paragraph_open', 'inline', 'paragraph_close', 'text', 'softbreak'}
    assert tokens[-2].content == 'end'


@pytest.mark.parametrize('text', HARMLESS)
def test_harmless_prose_is_unchanged(text):
    assert markdown_prose(text) == text


@pytest.mark.parametrize('text', [*ATTACKS, '*a* _b_ `c` ~~d~~ a|b \\[e](f) $g$', 'student_t4_lr0_1'])
def test_an_escaped_text_is_read_back_as_it_was(text):
    [_, inline, _] = MarkdownIt('commonmark').parse(escape_markdown(text))
    assert all(token.type in ('text', 'text_special') for token in inline.children)
    assert ''.join(token.content for token in inline.children) == ' '.join(text.split())


def test_names_of_runs_stay_readable():
    assert escape_markdown('student_t4_lr0_1') == 'student_t4_lr0_1'


def test_a_text_as_code_cannot_end_the_code():
    [_, inline, _] = MarkdownIt('commonmark').parse(code_span('a `b` ``c`` <d>'))
    assert [(token.type, token.content) for token in inline.children] == [('code_inline', 'a `b` ``c`` <d>')]


@pytest.mark.parametrize(
    ('url', 'allowed'),
    [
        ('https://a.b', True),
        ('http://a.b', True),
        ('docs/a.md#b', True),
        ('javascript:x', False),
        ('mailto:a@b', False),
        ('http://[', False),
    ],
)
def test_links(url, allowed):
    assert allowed_link(url) == allowed
