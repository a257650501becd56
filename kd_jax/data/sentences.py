"""Cuts texts into sentences."""

import re

PARAGRAPHS = re.compile(r'\n\s*\n')
SENTENCE = re.compile(r'(\S.*?(?:[.!?]["\'”’)\]]*(?=\s+["\'“‘(\[]?[A-Z0-9])|$))')
WORDS = 4  # a sentence has at least so many
LETTERS = 0.8  # share of letters and spaces; code and tables have less


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order.

    A sentence ends at a full stop, question mark or exclamation mark before a space and a capital or a digit, or with
    its paragraph. Its lines are joined. Headings, code and tables are left out as far as a rule can tell: what has
    fewer than `WORDS` words, or a smaller share of letters and spaces than `LETTERS`.
    """
    pieces = (piece for one in PARAGRAPHS.split(text) for piece in SENTENCE.findall(' '.join(one.split())))
    return [piece for piece in pieces if _is_sentence(piece)]


def _is_sentence(piece: str) -> bool:
    letters = sum(character.isalpha() or character == ' ' for character in piece)
    return len(piece.split()) >= WORDS and letters >= LETTERS * len(piece)
