"""Text that is shown as it is: control characters, which a terminal would obey, become visible escapes."""

import logging
import re

# Control characters but for tab and newline, marks that reverse the direction of text, line and paragraph separators,
# and halves of surrogate pairs, which no encoding can write.
OBEYED = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def visible(text: str) -> str:
    """Replaces characters that a terminal obeys by escapes: an escape character becomes the four characters '\\x1b'.

    Every text that may come out of a file (names, labels, messages that quote them) passes here before it is shown.
    """
    return OBEYED.sub(lambda found: found[0].encode('unicode_escape', 'surrogatepass').decode('ascii'), text)


class VisibleFormatter(logging.Formatter):
    """Formats log lines as 'WARNING: message', with control characters as escapes."""

    def __init__(self) -> None:
        super().__init__('%(levelname)s: %(message)s')

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def show_log() -> None:
    """Prints the log of this process to stderr, unless it is shown already."""
    handler = logging.StreamHandler()
    handler.setFormatter(VisibleFormatter())
    logging.basicConfig(handlers=[handler])
