"""Replays recorded outputs of frozen networks in place of the live networks.

What is recorded is what the terms and the trained networks read, for the same views and in batches of the same size
that training uses. Training from the cache therefore equals training with the live networks bit for bit, where a
network's output for an example does not depend on the example's place in the batch. This is tested before anything is
written. It holds for matrix products of XLA on a CPU, but not for all of its convolutions.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.config.errors import UserError
from kd_jax.config.json_files import flat
from kd_jax.teacher_cache.array_store import ArrayStore
from kd_jax.teacher_cache.cache_options import TeacherCache
from kd_jax.teacher_cache.recording import agreed_count, fingerprint, record_parts


def replay_outputs(
    cache: TeacherCache, frozen: Mapping[str, Any], key: jax.Array, shared: pathlib.Path, between: Callable[[], None]
) -> dict[str, Any]:
    """The training split with what is recorded under 'recorded'; records first what is not there yet.

    Args:
      cache: from `plan`.
      frozen: variables of the frozen networks, by name.
      key: of the views.
      shared: where caches without a path of their own live, in directories named by their fingerprints.
      between: called before each part that is recorded; may raise to stop there.
    Returns:
      the arrays and, by network and name, recorded ones [views, examples, ...]: NumPy arrays, or `store.Rows`.
    Raises:
      UserError: the cache that is there is of something else, damaged, or cannot be written.
    """
    what, parts = cache.what, fingerprint(cache.what, frozen, key)
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    store, count = ArrayStore(cache.path or str(shared / digest)), cache.what.layout.count
    manifest = _manifest(store, parts, count, what.where)
    if not agreed_count(manifest['done'] == count):
        with store.locked():
            record_parts(what, store, _manifest(store, parts, count, what.where), frozen, key, between)
    recorded: dict[str, dict[str, Any]] = {}
    for path, like in what.outputs.items():
        rows = store.rows(str(path), like.dtype)
        recorded.setdefault(path.source, {})[path.name] = rows[:] if cache.in_memory else rows
    return {**what.arrays, RECORDED: recorded}


def _manifest(store: ArrayStore, parts: Mapping[str, Any], count: int, where: str) -> dict[str, Any]:
    """The manifest of a store that holds nothing, or some of what is to be recorded."""
    manifest = store.manifest() or {'done': 0, 'parts': count, 'fingerprint': parts}
    there, here = flat(manifest['fingerprint']), flat(parts)
    different = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if not different:
        return manifest
    name = different[0]
    values = [part.get(name, 'absent') for part in (there, here)]
    shown = f' ({values[0]} there, {values[1]} here)' if max(len(str(value)) for value in values) < 40 else ''
    raise UserError(
        f'{where}: the cache {store.path} was recorded from something else, {name.replace("/", ".")} differs{shown}; '
        'delete it, or choose another cache.path.'
    )
