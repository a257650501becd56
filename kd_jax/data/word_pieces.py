"""The tokenizer of BERT: words, and pieces of the words that its vocabulary does not have; without other packages."""

import functools
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

PAD, UNKNOWN, BEGIN, END, MASK = SPECIAL = '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'
INSIDE = '##'  # begins a piece that does not begin a word
LONGEST = 100  # characters; longer words are unknown
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class Piece(NamedTuple):
    """A piece of a text: its token, and the number of bytes of the text from the end of the piece before to its end."""

    token: int
    bytes: int


def word_pieces(text: str, vocabulary: Mapping[str, int]) -> list[Piece]:
    """Cuts a text into words and punctuation, and these into the longest pieces that the vocabulary has.

    Devlin et al. (2019), as the uncased models do it: without capitals and accents; each Chinese character is a word.

    Args:
      text: the text.
      vocabulary: the id of each piece; those that do not begin a word begin with '##'. It has '[UNK]'.
    """
    alone = ''.join(re.escape(character) for character in sorted(set(text)) if _stands_alone(character))
    words = re.compile(rf'[{alone}]|[^\s{alone}]+' if alone else r'\S+')
    found, until = [], 0
    cut = functools.cache(lambda word: _pieces(word, vocabulary))
    for match in words.finditer(text):
        pieces = cut(match[0])
        if not pieces:  # control characters alone
            continue
        before = len(text[until : match.start()].encode())
        size, total = len(match[0].encode()), sum(length for _, length in pieces)
        ends = [size * length // total for length in accumulate(length for _, length in pieces)]
        sizes = [end - start for start, end in pairwise((0, *ends))]
        sizes[0] += before
        found += [Piece(token, own) for (token, _), own in zip(pieces, sizes, strict=True)]
        until = match.end()
    return found


def _pieces(word: str, vocabulary: Mapping[str, int]) -> list[tuple[int, int]]:
    """The pieces of a word, each with its number of characters; the whole word is unknown if any part of it is."""
    plain = ''.join(c for c in unicodedata.normalize('NFD', word) if unicodedata.category(c) not in ('Mn', 'Cc', 'Cf'))
    plain = ''.join(c for c in unicodedata.normalize('NFD', plain.lower()) if unicodedata.category(c) != 'Mn')
    out, start = list[tuple[int, int]](), 0
    while start < len(plain) <= LONGEST:
        begins = INSIDE if start else ''
        ends = range(len(plain), start, -1)
        end = next((end for end in ends if begins + plain[start:end] in vocabulary), None)
        if end is None:
            break
        out.append((vocabulary[begins + plain[start:end]], end - start))
        start = end
    return out if start == len(plain) else [(vocabulary[UNKNOWN], len(plain))]


@functools.cache
def _stands_alone(character: str) -> bool:
    """Whether a character is a word of its own: punctuation, the signs of ASCII, and Chinese characters."""
    code = ord(character)
    ascii_sign = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    ideograph = any(first <= code <= last for first, last in IDEOGRAPHS)
    return ascii_sign or ideograph or unicodedata.category(character).startswith('P')


def joined(tokens: Sequence[str]) -> str:
    """The text of pieces, with a space between words."""
    return ' '.join(tokens).replace(f' {INSIDE}', '')


def tokenizer_json(vocabulary: Mapping[str, int]) -> str:
    """The tokenizer.json of a vocabulary, with which the package `tokenizers` cuts texts as `word_pieces` does.

    It puts '[CLS]' before a text and '[SEP]' after it; a second text follows with its own '[SEP]'.
    """

    def special(token: str, kind: int = 0) -> dict[str, Any]:
        return {'SpecialToken': {'id': token, 'type_id': kind}}

    first, second = ({'Sequence': {'id': name, 'type_id': kind}} for kind, name in enumerate('AB'))
    single = [special(BEGIN), first, special(END)]
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    return json.dumps(
        {
            'version': '1.0', 'truncation': None, 'padding': None,
            'added_tokens': [
                {'id': number, 'content': token, **flags} for token, number in vocabulary.items() if token in SPECIAL
            ],
            'normalizer': {
                'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': True, 'strip_accents': None,
                'lowercase': True,
            },
            'pre_tokenizer': {'type': 'BertPreTokenizer'},
            'post_processor': {
                'type': 'TemplateProcessing', 'single': single, 'pair': [*single, second, special(END, 1)],
                'special_tokens': {
                    token: {'id': token, 'ids': [vocabulary[token]], 'tokens': [token]} for token in (BEGIN, END)
                },
            },
            'decoder': {'type': 'WordPiece', 'prefix': INSIDE, 'cleanup': True},
            'model': {
                'type': 'WordPiece', 'unk_token': UNKNOWN, 'continuing_subword_prefix': INSIDE,
                'max_input_chars_per_word': LONGEST, 'vocab': dict(vocabulary),
            },
        },
        ensure_ascii=False,
    )  # fmt: skip
