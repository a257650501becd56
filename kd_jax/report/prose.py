"""Texts of a study on its pages: names and sentences are shown as they are, prose may use Markdown but no HTML."""

import html
import re
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from kd_jax.config.visible_text import visible

# An underscore inside a word, as in most names of runs, is no markup.
MARKUP = re.compile(r'[\\`*\[\]~$|]|(?<![^\W_])_|_(?![^\W_])')


def allowed_link(url: str) -> bool:
    """Whether a page may link there: http, https, or a place relative to the page."""
    try:
        return urlsplit(url).scheme.lower() in ('', 'http', 'https')
    except ValueError:
        return False


def escape_markdown(text: str) -> str:
    """Escapes a text for one place in a Markdown page, so that nothing in it is read as markup, HTML or a new cell."""
    return MARKUP.sub(r'\\\g<0>', html.escape(' '.join(visible(text).split()), quote=False))


def code_span(text: str) -> str:
    """A text as code in Markdown; the fence is longer than any row of backticks in the text."""
    text = ' '.join(visible(text).split())
    fence = '`' * (1 + max(map(len, re.findall('`+', text)), default=0))
    space = ' ' if '`' in text else ''
    return f'{fence}{space}{text}{space}{fence}'


def markdown_prose(text: str) -> str:
    """Prose for a Markdown page: unchanged if it is harmless, else its paragraphs with everything escaped.

    Harmless means no HTML, no picture, no link but to http, https or a relative place, and no block left open.
    """
    text = visible(text)
    return text if _harmless(text) else '\n\n'.join(map(escape_markdown, re.split(r'\n\s*\n', text)))


def html_prose(text: str) -> str:
    """Prose as HTML; HTML in it is shown as text, and links that are not allowed stay text."""
    parser = MarkdownIt('commonmark', {'html': False}).disable('image')
    parser.validateLink = allowed_link  # type: ignore[method-assign]
    return parser.render(visible(text))


def _harmless(text: str) -> bool:
    parser = MarkdownIt('commonmark', {'html': True})
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    env: dict[str, Any] = {}
    blocks = parser.parse(f'{text}\n\nend', env)
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    links = [str(token.attrs['href']) for token in tokens if 'href' in token.attrs]
    links += [reference['href'] for reference in env.get('references', {}).values()]
    closed = len(blocks) > 2 and blocks[-2].content == 'end' and blocks[-2].level == 1
    return (
        closed
        and all(map(allowed_link, links))
        and not any(t.type in ('html_block', 'html_inline', 'image') for t in tokens)
    )
