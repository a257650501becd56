"""Stores arrays [views, examples, ...] part by part with TensorStore, and counts complete parts in a manifest.

A part is a range of examples of one view. It is one zarr shard file per array, cut into small chunks with checksums.
The manifest counts the complete parts and is replaced atomically after each part. A killed writer therefore never
leaves a part that looks complete but is not, and the next writer continues after the last complete part.
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tensorstore

from kd_jax.config.checked_json import parse_checked, with_checksum
from kd_jax.config.errors import UserError, first_line
from kd_jax.config.file_schemas import Manifest
from kd_jax.config.ordinary_files import check_directory, check_ordinary_below, open_to_change, read_bytes, user_path

MANIFEST = 'manifest.json'
MANIFEST_BYTES = 2**20
MEND = 'delete this cache, and run the same command again'
PART_ROWS = 8192  # examples; limits the work that is lost when a writer is killed
PART_BYTES = 2**26
CHUNK_BYTES = 2**14
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How arrays of `views` times `examples` rows are cut into `count` parts of `rows` examples each."""

    views: int
    examples: int
    rows: int

    @property
    def count(self) -> int:
        return self.views * math.ceil(self.examples / self.rows)

    def part(self, number: int) -> tuple[int, int, int]:
        """Returns the view of a part, its first example, and one more than its last example."""
        view, number = divmod(number, math.ceil(self.examples / self.rows))
        return view, number * self.rows, min((number + 1) * self.rows, self.examples)


def make_layout(views: int, examples: int, batch_size: int, row_bytes: int) -> Layout:
    """Chooses how many batches make a part: a power of two, within `PART_ROWS` examples and `PART_BYTES` bytes."""
    rows = batch_size
    while 2 * rows <= PART_ROWS and 2 * rows * row_bytes <= PART_BYTES and rows < examples:
        rows *= 2
    return Layout(views, examples, rows)


class Rows:
    """A stored array [views, examples, ...] that is not in memory; `rows[view, positions]` reads only these rows."""

    def __init__(self, array: Any, dtype: Any, store: 'ArrayStore'):
        self.dtype, self._array, self._store = np.dtype(dtype), array, store

    def __getitem__(self, index: Any) -> np.ndarray:
        with self._store.explained('read'):
            return np.asarray(self._array[index].read().result()).astype(self.dtype, copy=False)


class ArrayStore:
    """The directory of a cache, on a local disk or at a URL that TensorStore can open ('gs://bucket/directory').

    Every method raises a UserError if the directory cannot be reached, read or written, or holds damaged data.
    """

    def __init__(self, path: str):
        self.path = path
        local = '://' not in path
        self.directory = user_path(path).absolute() if local else None
        if self.directory is not None:
            check_directory(self.directory, 'cache.path')
        with self.explained('opened'):
            spec: Any = {'driver': 'file', 'path': f'{self.directory}/'} if local else f'{path.rstrip("/")}/'
            self._files = tensorstore.KvStore.open(spec).result()

    def manifest(self) -> dict[str, Any] | None:
        """Returns what `commit` wrote last; None if the directory is empty or missing.

        Raises:
          UserError: the directory holds other files but no cache.
        """
        with self.explained('read'):
            if self.directory is not None:
                check_ordinary_below(self.directory)
            content = self._manifest_bytes()
            if content is not None:
                return parse_checked(content.decode(), Manifest, f'{self.path}/{MANIFEST}', MEND).content
            if self.directory is not None and any(name != '.lock' for name in _names(self.directory)):
                raise UserError(
                    f'{self.path} holds other files but no cache, as {MANIFEST} is missing; choose another cache.path, '
                    'or delete the directory if it was a cache.'
                )
        return None

    def _manifest_bytes(self) -> bytes | None:
        if self.directory is not None:
            path = self.directory / MANIFEST
            return read_bytes(path, MANIFEST_BYTES, MEND) if path.exists() else None
        found = self._files.read(MANIFEST).result()
        return found.value if found.state == 'value' else None

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """Replaces the manifest atomically."""
        with self.explained('written'):
            self._files.write(MANIFEST, json.dumps(with_checksum(manifest), indent=1).encode()).result()

    def create(self, name: str, shape: Sequence[int], dtype: Any, cut: Layout) -> Any:
        """Opens an array for writing, with one value [*shape] per example; parts that exist already are kept."""
        with self.explained('written'):
            return self._open(name, _metadata(shape, dtype, cut), create=True)

    def write(self, array: Any, part: tuple[int, int, int], rows: np.ndarray) -> None:
        """Writes one part [stop - start, ...] of an array from `create`."""
        view, start, stop = part
        with self.explained('written'):
            array[view, start:stop].write(rows.astype(array.dtype.numpy_dtype, copy=False)).result()

    def rows(self, name: str, shape: Sequence[int], dtype: Any, cut: Layout, read_as: Any) -> Rows:
        """Opens an array from `create` without reading it; its rows are read as another dtype."""
        with self.explained('read'):
            return Rows(self._open(name, _metadata(shape, dtype, cut)), read_as, self)

    def _open(self, name: str, metadata: Mapping[str, Any], **more: Any) -> Any:
        # TensorStore refuses an array whose own metadata differ: they could claim any size.
        # Parts of nothing but fill values are written too, so that a missing part is an error, never read as fill.
        exact = {'store_data_equal_to_fill_value': True, 'fill_missing_data_reads': False}
        spec = {'driver': 'zarr3', 'kvstore': (self._files / f'{name}/').spec().to_json()}
        return tensorstore.open({**spec, **exact, **more, 'metadata': metadata, 'open': True}).result()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one process at a time write to a local disk. In a bucket several may write, but all write the same."""
        if self.directory is None or jax.process_index():
            yield
            return
        with self.explained('written'):
            self.directory.mkdir(parents=True, exist_ok=True)
            check_ordinary_below(self.directory)
            lock = open_to_change(self.directory / '.lock')
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info('another process is writing %s; waiting for it.', self.path)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turns TensorStore errors (full disk, missing bucket, damaged data) into a UserError of one sentence."""
        try:
            yield
        except UserError:
            raise
        except (ValueError, OSError) as error:
            mend = {
                'opened': 'choose another cache.path',
                'written': 'free some disk space and run the same command again; it keeps the complete parts',
                'read': 'delete it and run the same command again',
            }
            raise UserError(
                f'the cache {self.path} could not be {doing} ({first_line(error)}); {mend[doing]}.'
            ) from error


def _names(directory: pathlib.Path) -> list[str]:
    return [path.name for path in directory.iterdir()] if directory.is_dir() else []


def _metadata(shape: Sequence[int], dtype: Any, cut: Layout) -> dict[str, Any]:
    """The metadata of an array with one value [*shape] per example: its chunks, and a checksum for each."""
    row_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    chunk = cut.rows
    while chunk % 2 == 0 and chunk * row_bytes > CHUNK_BYTES:
        chunk //= 2
    plain = [{'name': 'bytes', 'configuration': {'endian': 'little'}}, {'name': 'crc32c'}]
    sharded = {'chunk_shape': [1, chunk, *shape], 'codecs': plain, 'index_codecs': plain}
    return {
        'shape': [cut.views, cut.examples, *shape],
        'data_type': np.dtype(dtype).name,
        'chunk_grid': {'name': 'regular', 'configuration': {'chunk_shape': [1, cut.rows, *shape]}},
        'codecs': [{'name': 'sharding_indexed', 'configuration': sharded}],
    }
