"""The console that every command prints to: texts appear as they are."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from kd_jax.config.visible_text import visible


class PlainConsole(Console):
    """A console that reads no markup and no emoji codes in texts, and shows control characters as escapes.

    Colours are given by `Text` objects, never inside a string. All that rich prints, tables and progress included, is
    drawn from the texts that pass `render`. Whoever makes a `Text` for a table gives it `visible` text, so that the
    columns get the right width.
    """

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text) and (shown := visible(renderable.plain)) != renderable.plain:
            renderable = renderable.copy()
            renderable.plain = shown
        return super().render(renderable, options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)
