"""The names that a config gives to runs, networks, terms, evaluations and analyses."""

import re
from typing import Any

from kd_jax.config.errors import UserError

LONGEST = 200  # bytes; file systems allow 255, and the names of files add seeds and endings
RESERVED = r'[./@\x00-\x1f\x7f]'  # '.', '/' and '@' separate the parts of paths and references


def check_name(name: Any, kind: str, where: str, dots: bool = False) -> None:
    """Raises a UserError, with a suggestion, if a name cannot be part of a path, a reference and the name of a file.

    Args:
      name: the name.
      kind: what it names, for the message.
      where: the place in the config, for the message.
      dots: whether the name may have dots inside, because it is part of no path such as 'student.logits'.
    """
    article = 'an' if kind[0] in 'aeiou' else 'a'
    if not isinstance(name, str):
        raise UserError(f'{where}: the name of {article} {kind} is {name!r}, but it must be a string.')
    better = re.sub(RESERVED if not dots else RESERVED.replace('.', '', 1), '_', name)
    better = ''.join(one if one.isprintable() else '_' for one in better).lstrip('~')
    if dots and not better.strip('.'):
        better = ''
    if better.strip() and better == name and len(name.encode()) <= LONGEST:
        return
    shown = (
        repr(name) if len(name) <= LONGEST else f'{name[:40]!r}..., {len(name.encode(errors="replace"))} bytes long,'
    )
    better = better.encode()[:LONGEST].decode(errors='ignore') if better.strip(' ._') else f'my_{kind}'
    raise UserError(
        f'{where}: {shown} cannot be the name of {article} {kind}: names are parts of paths and of the names of files, '
        f'so they have at most {LONGEST} bytes and no {"" if dots else "dot, "}slash, @, control character, or ~ in '
        f'front; write, for example, {better!r}.'
    )
