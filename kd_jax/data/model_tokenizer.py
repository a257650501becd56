"""The tokenizer of a network: the one whose tokens it reads, with the end that its data give a document."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from kd_jax.data.tokenizers import Tokenizer, load_tokenizer

TEACHER_TOKENS = 'batch.teacher_tokens'


def model_tokenizer(data: Mapping[str, Any], inputs: Iterable[Any]) -> Tokenizer:
    """The tokenizer of a network that reads text.

    Args:
      data: the section `data` of its run.
      inputs: the paths that it reads. A network of 'batch.teacher_tokens' has the tokenizer `teacher_tokenizer`.
    Returns:
      the tokenizer; its `end` is `data.end`, if that is given.
    Raises:
      UserError: as `load_tokenizer` and `with_end`.
    """
    if TEACHER_TOKENS in map(str, inputs):
        return load_tokenizer(data['teacher_tokenizer'])
    return with_end(load_tokenizer(data.get('tokenizer', 'bytes')), data.get('end'))


def with_end(tokenizer: Tokenizer, end: str | None) -> Tokenizer:
    """The tokenizer, which ends a document with the special token `end`; with its own if that is None.

    Raises:
      UserError: it has no such token.
    """
    return tokenizer if end is None else dataclasses.replace(tokenizer, end=tokenizer.id_of(end, 'data.end'))
