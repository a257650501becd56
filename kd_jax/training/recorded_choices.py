"""Records which of `vmap` and `lax.map` was chosen for a program on this machine, so that a second try takes it too.

The choice depends on a clock, and the two round differently. Records lie beside the compiled programs, one file for
each program, size of the group and machine. Whoever deletes them lets the clock decide again.
"""

import hashlib
import json
import os
import pathlib
import re
from typing import Any

import jax

from kd_jax.config.errors import UserError
from kd_jax.config.ordinary_files import read_text, write_text
from kd_jax.training import provenance
from kd_jax.training.stacked_runs import BATCHINGS

FOLDER, KEPT = 'vmap_or_map', 'jax_compilation_cache_dir'


def record_path(program: Any) -> pathlib.Path | None:
    """The file that records the choice for a program on this machine; None if compiled programs are not kept.

    Args:
      program: what identifies the program and its group; its `repr` must be the same in every process.
    """
    kept = getattr(jax.config, KEPT)
    if not kept:
        return None
    here = provenance.of_this_process()
    machine = here['hardware'], {name: here['versions'][name] for name in ('jax', 'jaxlib')}
    text = re.sub(r' at 0x[0-9a-f]+', '', repr(program)) + json.dumps(machine, sort_keys=True)
    return pathlib.Path(kept).parent / FOLDER / hashlib.sha256(text.encode()).hexdigest()


def recorded_choice(path: pathlib.Path | None) -> str:
    """The recorded choice; '' if there is none."""
    try:
        recorded = read_text(path, 100).strip() if path else ''
    except UserError:  # no such file, or a damaged one
        return ''
    return recorded if recorded in BATCHINGS else ''


def record_choice(path: pathlib.Path | None, by: str) -> str:
    """Records a choice, and returns the one that holds: that of the process that recorded first."""
    if path is None:
        return by
    mine = path.with_name(f'{path.name}.{os.getpid()}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(mine, by)
        try:
            os.link(mine, path)
        except FileExistsError:
            if earlier := recorded_choice(path):
                return earlier
            mine.replace(path)
        finally:
            mine.unlink(missing_ok=True)
    except OSError:  # a cache that cannot be written is no reason to stop
        pass
    return by
