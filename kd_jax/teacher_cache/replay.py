"""Replays recorded outputs of frozen networks in place of the live networks.

The cache records exactly those outputs that terms and trained networks read, for the views and the batch size that
training uses. Training from the cache therefore equals training with the live networks bit for bit, provided that a
network's output for an example does not depend on the example's place in the batch. Recording tests this first and logs
a warning if it does not hold. On a CPU it holds for XLA's matrix products, but not for all of its convolutions.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from kd_jax.arrays.batch_names import RECORDED
from kd_jax.config.errors import UserError
from kd_jax.teacher_cache.array_store import MEND, ArrayStore
from kd_jax.teacher_cache.cache_options import TeacherCache
from kd_jax.teacher_cache.recording import agreed_count, fingerprint, record_parts


def replay_outputs(
    cache: TeacherCache, frozen: Mapping[str, Any], key: jax.Array, shared: pathlib.Path, between: Callable[[], None]
) -> dict[str, Any]:
    """Returns the training split with recorded outputs added under 'recorded'; first records what is missing.

    Args:
      cache: from `plan_cache`.
      frozen: variables of the frozen networks, by name.
      key: the key of the views.
      shared: where caches lie without the option `cache.path`. In both, each recording has a directory named by its
        fingerprint, so that runs of other seeds or teachers may have the same path.
      between: called before each part that is recorded; may raise an exception to stop there.
    Returns:
      the arrays of the split, and recorded outputs [views, examples, ...] by network and name: NumPy arrays or
      `array_store.Rows`.
    Raises:
      UserError: the existing cache is damaged, or the cache cannot be written.
    """
    what, parts = cache.what, fingerprint(cache.what, frozen, key)
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    store, count = ArrayStore(f'{(cache.path or str(shared)).rstrip("/")}/{digest}'), cache.what.layout.count
    manifest = _manifest(store, parts, count, what.where)
    if not agreed_count(manifest['done'] == count):
        with store.locked():
            record_parts(what, store, _manifest(store, parts, count, what.where), frozen, key, between)
    recorded: dict[str, dict[str, Any]] = {}
    for path, like in what.outputs.items():
        rows = store.rows(str(path), like.shape, what.stored(like.dtype), what.layout, like.dtype)
        recorded.setdefault(path.source, {})[path.name] = rows[:] if cache.in_memory else rows
    return {**what.arrays, RECORDED: recorded}


def _manifest(store: ArrayStore, parts: Mapping[str, Any], count: int, where: str) -> dict[str, Any]:
    """Returns the manifest of a store that is empty or holds this recording; refuses a store of another recording."""
    manifest = store.manifest() or {'done': 0, 'parts': count, 'fingerprint': parts}
    if manifest['fingerprint'] != parts:
        raise UserError(f'{where}: the cache {store.path} was recorded from something else than its name says; {MEND}.')
    return manifest
