"""Chat templates: from the messages of a conversation to parts of text, each with whether the network learns it.

The mask is known by construction, because each part says whether it counts; nothing is searched for in the finished
text. Text that stands between two special tokens or two parts that count is tokenized alone, as in generation: the
prompt is tokenized as a whole, and the answer follows it. No template adds a message of its own, such as a system
prompt.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kd_jax.config.errors import UserError, suggest
from kd_jax.data.documents import ANSWER, PROMPT, Document, Messages

ROLES = ('system', 'user', 'assistant')
SPEAKER = 'assistant'  # the role that the network learns
ROLE = object()  # stands for the role of a message in a template


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


class ChatTemplate(NamedTuple):
    """What stands around the content of each message. Texts of the form <|...|> are special tokens.

    Attributes:
      opening: before the content; `ROLE` is the role.
      end: after it; it counts after an answer, because it ends the generation.
      after: text between the end of a message and the next one.
    """

    opening: tuple[object, ...]
    end: str
    after: str


TEMPLATES = {
    'chatml': ChatTemplate(('<|im_start|>', ROLE, '\n'), '<|im_end|>', '\n'),  # SmolLM2, Qwen2
    'llama3': ChatTemplate(('<|start_header_id|>', ROLE, '<|end_header_id|>', '\n\n'), '<|eot_id|>', ''),
}
DEFAULT = 'chatml'


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
    parts = _joined(_of_messages(document.messages, template, document.place))
    if not any(part.counts for part in parts):
        raise UserError(f'{document.place}: no message has the role {SPEAKER!r}, so there is nothing to learn.')
    return parts


def prompt_of(messages: Messages, template: str) -> list[Part]:
    """The parts after which a network writes the next answer of a conversation.

    Raises:
      UserError: there is no such template or role.
    """
    answer = _opening(chat_template(template), SPEAKER)
    return [part._replace(counts=False) for part in _joined([*_of_messages(messages, template, 'the prompt'), *answer])]


def special_tokens(template: str) -> set[str]:
    """The special tokens of a template, which a tokenizer must have.

    Raises:
      UserError: there is no such template.
    """
    opening, end, _ = chat_template(template)
    return {piece for piece in (*opening, end) if isinstance(piece, str) and piece.startswith('<|')}


def jinja_template(template: str, begins: bool) -> str:
    """A template as `transformers` reads it in tokenizer_config.json; roles are not checked there.

    Args:
      template: its name.
      begins: whether a begin token stands before the conversation.
    Raises:
      UserError: there is no such template.
    """
    opening, end, after = chat_template(template)

    def opened(role: str) -> str:
        return ' + '.join(role if piece is ROLE else json.dumps(piece) for piece in opening)

    message = f'{opened("message.role")} + message.content + {json.dumps(end + after)}'
    return (
        ('{{ bos_token }}' if begins else '')
        + f'{{% for message in messages %}}{{{{ {message} }}}}{{% endfor %}}'
        + f'{{% if add_generation_prompt %}}{{{{ {opened(json.dumps(SPEAKER))} }}}}{{% endif %}}'
    )


def chat_template(name: str) -> ChatTemplate:
    """The chat template of a name.

    Raises:
      UserError: there is no such template.
    """
    if name not in TEMPLATES:
        raise UserError(f'data.chat is {name!r}, which is no chat template. {suggest(name, TEMPLATES)}')
    return TEMPLATES[name]


def _opening(template: ChatTemplate, role: str) -> Iterator[Part]:
    for piece in template.opening:
        text = role if piece is ROLE else str(piece)
        yield Part(text, False, special=text.startswith('<|'))


def _of_messages(messages: Messages, name: str, place: str) -> Iterator[Part]:
    template = chat_template(name)
    for role, content in messages:
        if role not in ROLES:
            raise UserError(f'{place}: there is no role {role!r}. {suggest(role, ROLES)}')
        yield from _opening(template, role)
        yield Part(content, role == SPEAKER)
        yield Part(template.end, role == SPEAKER, special=True)
        yield Part(template.after, False)


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Joins parts of text that follow each other and count alike; leaves out empty ones."""
    out: list[Part] = []
    for part in parts:
        if out and not part.special and not out[-1].special and part.counts == out[-1].counts:
            out[-1] = out[-1]._replace(text=out[-1].text + part.text)
        elif part.text:
            out.append(part)
    return out
