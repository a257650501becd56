"""Prompts of a decoder as tokens, and the tokens that end what it writes."""

from kd_jax.config.errors import UserError
from kd_jax.data.chat_templates import TEMPLATES, Part, prompt_of
from kd_jax.data.tokenizers import Tokenizer


def prompt_tokens(text: str, chat: str | None, tokenizer: Tokenizer, what: str, system: str = '') -> list[int]:
    """The tokens of a prompt, as training would read them.

    Args:
      text: the prompt.
      chat: the chat template in which it is the message of a user; None for the prompt alone.
      tokenizer: the tokenizer.
      what: who asks, for messages.
      system: the message of the system before it, in a chat template; '' for none.
    Raises:
      UserError: the prompt is empty or not UTF-8, or the tokenizer lacks a special token of the template.
    """
    if not text.strip():
        raise UserError(f'{what} is empty; give a text to continue.')
    if any('\ud800' <= character <= '\udfff' for character in text + system):  # a byte of the command line
        raise UserError(f'{what} is not UTF-8 text: {text[:80]!r}; set the terminal to UTF-8.')
    tokens = [] if tokenizer.begin is None else [tokenizer.begin]
    messages = ((('system', system),) if system else ()) + (('user', text),)
    for part in prompt_of(messages, chat) if chat else [Part(text, counts=False)]:
        if part.special:
            tokens.append(tokenizer.id_of(part.text, f'the chat template {chat}'))
        else:
            tokens += tokenizer.encode(part.text).ids.tolist()
    return tokens


def stop_tokens(chat: str | None, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokens that end a text: the end of a document, and that of an answer in the chat template."""
    ends = (tokenizer.end, tokenizer.special[TEMPLATES[chat].end] if chat else None)
    return tuple(int(token) for token in dict.fromkeys(ends) if token is not None)
