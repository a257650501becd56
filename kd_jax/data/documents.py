"""Documents: the texts that a text source is made of, and how they are split."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kd_jax.config.errors import UserError
from kd_jax.data.held_out import SEED

KINDS = (('text',), ('prompt', 'answer'), ('messages',))  # the keys that hold the text of a line
Messages = tuple[tuple[str, str], ...]  # (role, content)
PROMPT, ANSWER = 'prompt', 'answer'


class Document(NamedTuple):
    """A document, or one example of a larger document.

    Attributes:
      name: documents of one name are never in two splits.
      place: where it is, for messages.
      text: its text, if it is plain text.
      messages: roles and contents otherwise. A pair has the roles 'prompt' and 'answer', and is no conversation.
      numbers: further numbers of the example, by name.
    """

    name: str
    place: str
    text: str = ''
    messages: Messages = ()
    numbers: Mapping[str, float] = {}


def check_like(document: Document, first: Document, *, numbers: bool) -> None:
    """Checks that a document is a plain text, a pair or a conversation, whatever the first one is.

    Args:
      document: the document.
      first: the first document.
      numbers: whether they must also have numbers of the same names.
    Raises:
      UserError: the document differs from the first one.
    """
    kinds = [_kind(one) if numbers else _kind(one)[:1] for one in (document, first)]
    if kinds[0] != kinds[1]:
        shown = ' and '.join(map(', '.join, kinds))
        raise UserError(f'{document.place}: all lines must be alike, but this one and the first have {shown}.')


def parse_document(value: Mapping[str, Any], name: str, place: str) -> Document:
    """The document that an object of JSON describes, with `text`, with `prompt` and `answer`, or with `messages`.

    Raises:
      UserError: it is no such object, or a text is empty.
    """
    kind = next((keys for keys in KINDS if set(keys) <= value.keys()), None)
    if kind is None:
        raise UserError(f'{place} has the keys {", ".join(sorted(value))}, but it needs text, or prompt and answer, or '
                        'messages.')  # fmt: skip
    rest = {key: one for key, one in value.items() if key not in (*kind, 'name')}
    numbers = {key: one for key, one in rest.items() if isinstance(one, int | float)}
    if kind == ('text',):
        return checked(Document(name, place, value['text'], (), numbers))
    if kind == (PROMPT, ANSWER):
        return checked(Document(name, place, '', ((PROMPT, value[PROMPT]), (ANSWER, value[ANSWER])), numbers))
    given = value['messages']
    right = isinstance(given, list) and all(
        isinstance(one, dict) and {'role', 'content'} <= one.keys() for one in given
    )
    if not right or not given:
        raise UserError(f'{place}: messages must be a list of objects with role and content.')
    if wrong := {PROMPT, ANSWER} & {str(one['role']) for one in given}:
        raise UserError(
            f'{place}: {min(wrong)!r} is no role of a message; a line with prompt and answer needs no messages.'
        )
    return checked(Document(name, place, '', tuple((one['role'], one['content']) for one in given), numbers))


def _kind(document: Document) -> tuple[str, ...]:
    what = 'text' if not document.messages else 'messages' if document.messages[0][0] != PROMPT else 'prompt and answer'
    return (what, *sorted(document.numbers))


def checked(document: Document) -> Document:
    """Returns the document if it has text, and every text of it is a string.

    Raises:
      UserError: a text is not a string, or is empty.
    """
    texts = [('text', document.text)] if not document.messages else list(document.messages)
    for key, text in texts:
        if not isinstance(text, str) or not isinstance(key, str):
            raise UserError(f'{document.place}: {key} is {json.dumps(text)[:80]}, but it must be a text.')
        if not text.strip():
            raise UserError(f'{document.place}: {key} is empty; leave this document out.')
    return document


def split_documents(names: np.ndarray, valid: int, test: int, by: str) -> dict[str, np.ndarray]:
    """Splits documents by name into 'train', 'valid' and 'test'; documents of one name are in one split.

    Args:
      names: of the documents, in order; texts or numbers, [documents].
      valid: number of names that are held out for validation.
      test: number of names that are held out for testing.
      by: 'random' (the same ones for every seed; those for testing do not depend on `valid`) or 'position' (the last
        ones are for testing, those before them for validation).
    Returns:
      the numbers of the documents of each split, in order.
    Raises:
      UserError: nothing is left for training.
    """
    _, first, group = np.unique(names, return_index=True, return_inverse=True)
    group = np.argsort(np.argsort(first))[group]  # names are numbered as they first appear
    if min(valid, test) < 0 or valid + test >= len(first):
        raise UserError(
            f'data.valid_documents is {valid} and data.test_documents is {test}, but there are {len(first)} documents '
            'and one must be left for training.'
        )
    order = np.random.default_rng(SEED).permutation(len(first)) if by == 'random' else np.arange(len(first))[::-1]
    split = np.zeros(len(first), np.int8)
    split[order[:test]], split[order[test : test + valid]] = 2, 1
    return {name: np.flatnonzero(split[group] == number) for number, name in enumerate(('train', 'valid', 'test'))}
