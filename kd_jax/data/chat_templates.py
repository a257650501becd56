"""Chat templates: from the messages of a conversation to parts of text, each with whether the network learns it.

The mask is known by construction, because each part says whether it counts; nothing is searched for in the finished
text. Text that stands between two special tokens or two parts that count is tokenized alone, as in generation: the
prompt is tokenized as a whole, and the answer follows it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kd_jax.config.errors import UserError, suggest
from kd_jax.data.documents import ANSWER, PROMPT, Document

ROLES = ('system', 'user', 'assistant')
SPEAKER = 'assistant'  # the role that the network learns


class Part(NamedTuple):
    """A part of a document.

    Attributes:
      text: its text.
      counts: whether the network learns its tokens.
      special: whether the text is one special token.
    """

    text: str
    counts: bool
    special: bool = False


def chatml(messages: Sequence[tuple[str, str]]) -> Iterator[Part]:
    """ChatML, the template of SmolLM2 and Qwen2: <|im_start|>ROLE, a new line, CONTENT<|im_end|>, a new line.

    Of the assistant's messages, the content and <|im_end|> count.
    """
    for role, content in messages:
        learns = role == SPEAKER
        yield Part('<|im_start|>', False, special=True)
        yield Part(f'{role}\n', False)
        yield Part(content, learns)
        yield Part('<|im_end|>', learns, special=True)
        yield Part('\n', False)


TEMPLATES = {'chatml': chatml}


def parts_of(document: Document, template: str) -> list[Part]:
    """The parts of a document: its text, its prompt and its answer, or its messages in the template.

    Parts of text that follow each other and are alike are joined, so that they are tokenized together.

    Raises:
      UserError: there is no such template or role, or the conversation has nothing that the network could learn.
    """
    if not document.messages:
        return [Part(document.text, True)]
    if document.messages[0][0] == PROMPT:
        return [Part(text, role == ANSWER) for role, text in document.messages]
    if template not in TEMPLATES:
        raise UserError(f'data.chat is {template!r}, which is no chat template. {suggest(template, TEMPLATES)}')
    for role, _ in document.messages:
        if role not in ROLES:
            raise UserError(f'{document.place}: there is no role {role!r}. {suggest(role, ROLES)}')
    if SPEAKER not in (role for role, _ in document.messages):
        raise UserError(f'{document.place}: no message has the role {SPEAKER!r}, so there is nothing to learn.')
    return _joined(TEMPLATES[template](document.messages))


def _joined(parts: Iterator[Part]) -> list[Part]:
    out: list[Part] = []
    for part in parts:
        if out and not part.special and not out[-1].special and part.counts == out[-1].counts:
            out[-1] = out[-1]._replace(text=out[-1].text + part.text)
        else:
            out.append(part)
    return out
