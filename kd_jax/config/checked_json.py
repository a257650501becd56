"""JSON files with a checksum: what was written is read back, or the reader says in one sentence which file is damaged.

The checksum is the key `checksum` of the file's dictionary. It is a CRC-32 of the rest of the content, so spaces and
the order of keys do not matter. It guards against accidents (a flipped bit, a file that was cut off, an edited digit),
not against forgery: whoever can write the file can write a new checksum.
"""

import copy
import functools
import json
import operator
import pathlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.json_files import JSON_BYTES, json_value, parse_json, write_json
from kd_jax.config.ordinary_files import read_text

CHECKSUM = 'checksum'


class Checked(NamedTuple):
    """The content of a JSON file without its checksum, and whether it had one."""

    content: dict[str, Any]
    has_checksum: bool


def checksum(value: Any) -> str:
    """The checksum of a JSON value, for example 'crc32:0a1b2c3d'."""
    text = json.dumps(value, sort_keys=True, separators=(',', ':'))
    return f'crc32:{zlib.crc32(text.encode()):08x}'


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content as JSON values, with its checksum as the last key; a checksum that it had is replaced."""
    bare = json_value({key: value for key, value in content.items() if key != CHECKSUM})
    return {**bare, CHECKSUM: checksum(bare)}


def write_checked(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file with a checksum, completely or not at all."""
    write_json(path, with_checksum(content))


def read_checked(path: pathlib.Path, schema: Any, mend: str) -> Checked:
    """Reads a JSON file, and checks its schema and, if it has one, its checksum.

    Args:
      path: the file.
      schema: a type of `file_schemas`.
      mend: what the user can do about a damaged file; the end of the message.
    Raises:
      UserError: the file cannot be read or is damaged.
    """
    return parse_checked(read_text(path, JSON_BYTES, mend), schema, str(path), mend)


def parse_checked(text: str, schema: Any, name: str, mend: str) -> Checked:
    """Parses the text of a JSON file, and checks it as `read_checked` does; `name` names the file in messages."""
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UserError(f'{name} is damaged ({first_line(error)}); {mend}.') from error
    if wrong := misfit(content, schema):
        raise UserError(f'{name} is damaged: {wrong}; {mend}.')
    stated = content.pop(CHECKSUM, None)
    if stated is not None and stated != checksum(content):
        raise UserError(
            f'{name} is damaged: its content does not have its checksum {stated}; {mend}. If you edited it on purpose, '
            f'remove its {CHECKSUM!r}.'
        )
    return Checked(content, stated is not None)


def misfit(value: Any, schema: Any) -> str:
    """Says where and how a value does not fit a schema, such as 'seed: expected int, got str'; '' if it fits."""
    what, place = _what_and_place(value, schema)
    what = f'{what[:1].lower()}{what[1:]}'
    return f'{_with_keys(place, value, schema)}: {what}' if place else what


def _what_and_place(value: Any, schema: Any) -> tuple[str, str]:
    """What is wrong with a value, and where: steps such as '.history[3].step', with '[...]' for any key."""
    try:
        msgspec.convert(value, schema)
    except msgspec.ValidationError as error:
        what, _, place = first_line(error).replace('`', '').partition(' - at $')
        return what, place
    return '', ''


def _with_keys(place: str, value: Any, schema: Any) -> str:
    """Names in a place the keys for which msgspec writes '[...]': those that do not fit even without the others."""
    steps: list[Any] = []
    for step in re.findall(r'\.[^.\[]+|\[[^]]*]', place):
        if step != '[...]':
            steps.append(step[1:] if step[0] == '.' else int(step[1:-1]))
            continue
        below = functools.reduce(operator.getitem, steps, value)
        alone = ((key, _with(value, steps, {key: below[key]})) for key in below)
        steps.append(next(key for key, changed in alone if _what_and_place(changed, schema)[1] == place))
    return ''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in steps)[1:]


def _with(value: Any, steps: Sequence[Any], new: Any) -> Any:
    """A copy of nested dictionaries and lists with another value at the end of some steps."""
    if not steps:
        return new
    copied = copy.copy(value)
    copied[steps[0]] = _with(value[steps[0]], steps[1:], new)
    return copied
