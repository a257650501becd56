"""Reads checkpoints, and checks that what is read is what was saved."""

import contextlib
import dataclasses
import functools
import glob
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from kd_jax.config.checked_json import parse_checked, read_checked
from kd_jax.config.disk_errors import check_readable
from kd_jax.config.errors import UserError, first_line
from kd_jax.config.file_schemas import Newest, Position
from kd_jax.config.json_files import JSON_BYTES
from kd_jax.config.ordinary_files import check_ordinary_below, check_unpacked
from kd_jax.config.references import BEST, DIRECTORIES
from kd_jax.core.state import moving_variables
from kd_jax.training.array_checksums import array_checksum, first_difference, path_text

NEWEST = 'newest.json'
REASON = 120  # characters; Orbax explains at length


@dataclasses.dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on the disk. If it is damaged, its methods raise a ValueError or whatever Orbax raises."""

    checkpointer: ocp.training.Checkpointer
    directory: pathlib.Path
    step: int

    @functools.cached_property
    def position(self) -> dict[str, Any]:
        """What was saved beside the arrays; `arrays` maps paths to checksums, and older checkpoints have none."""
        if 'data' not in self._metadata:
            raise ValueError('it has no position')
        found: Any = self.checkpointer.load_checkpointables(self.step, {'data': None})['data']
        if 'position' not in found:
            return found
        try:
            return parse_checked(found['position'], Position, 'its position', '').content
        except UserError as error:
            raise ValueError('its position is not what was saved') from error

    def shapes(self) -> Any:
        """The tree of its arrays: shapes and types.

        Raises:
          ValueError: it is not the tree that was saved.
        """
        tree: Any = self._metadata['state']
        if (saved := self._checksums) is not None:
            paths = [path_text(path) for path, _ in jax.tree.leaves_with_path(tree)]
            _refuse(first_difference({path: saved.get(path, '') for path in paths}, saved, whole=True), 'is missing')
        return tree

    def load(self, abstract: Any, whole: bool = False) -> Any:
        """Reads the arrays that `abstract` describes, and checks them against their checksums.

        Args:
          abstract: a tree of shapes, types and shardings, with `ocp.PLACEHOLDER` for arrays that are not read.
          whole: whether all arrays are read; otherwise arrays may be of another type than those that were saved.
        Raises:
          ValueError: an array is not the one that was saved.
        """
        saved = self._checksums
        types = abstract if whole else jax.tree.map(_with_type, abstract, self.shapes())
        loaded = self.checkpointer.load_checkpointables(self.step, {'state': types})['state']
        if saved is not None:
            read = [leaf for leaf in jax.tree.leaves_with_path(loaded) if leaf[1] is not ocp.PLACEHOLDER]
            found = {path_text(path): array_checksum(array) for path, array in read}
            _refuse(first_difference(found, saved, whole), 'is not what was saved')
        if whole:
            return loaded
        return jax.tree.map(lambda a, like: a if like is ocp.PLACEHOLDER else a.astype(like.dtype), loaded, abstract)

    @functools.cached_property
    def _metadata(self) -> Mapping[str, Any]:
        """Shapes and types of all arrays.

        Raises:
          UserError: they claim much more memory than the files can hold; TensorStore would reserve it.
        """
        found: Any = self.checkpointer.checkpointables_metadata(self.step).metadata
        path = self.directory / str(self.step)
        size = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(path) for name in names)
        check_unpacked(path, size, sum(map(_claimed_bytes, jax.tree.leaves(found))))
        return found

    @property
    def _checksums(self) -> dict[str, str] | None:
        """The checksum of each array by its path; None for a checkpoint of an earlier version."""
        if 'data' not in self._metadata:
            return None
        return self.position.get('arrays')


class LiteralPath(type(epath.Path('/'))):  # type: ignore[misc]
    """A path in whose own name '[', '*' and '?' stand for themselves; Orbax finds parts of a checkpoint by a glob."""

    def glob(self, pattern: str) -> Iterator['LiteralPath']:
        return map(type(self), glob.glob(os.path.join(glob.escape(str(self)), pattern)))


def literal_path(directory: pathlib.Path) -> LiteralPath:
    """The path of a directory of checkpoints for Orbax."""
    return LiteralPath(directory.absolute())


def check_files(directory: pathlib.Path) -> None:
    """Refuses checkpoints whose files are not ordinary ones, or that have more to say about the arrays than is honest.

    Raises:
      UserError: there is such a file; Orbax would wait for it, or read it whole.
    """
    check_ordinary_below(directory, links=True)
    for at, _, names in os.walk(directory):
        here = pathlib.Path(at)
        for path in (here / name for name in names if here.name != 'd'):  # 'd' is of OCDBT: read in parts
            with contextlib.suppress(FileNotFoundError):  # Orbax removes the rest of a killed save meanwhile
                if (size := os.path.getsize(path)) > JSON_BYTES:
                    most = f'more than the {JSON_BYTES:,} bytes that such a file may have'
                    raise UserError(f'{path} has {size:,} bytes, {most}.')


@contextlib.contextmanager
def newest_checkpoint(directory: pathlib.Path, where: str) -> Iterator[SavedCheckpoint]:
    """Opens the newest checkpoint in a directory, to read some of its arrays.

    Args:
      directory: the directory of the checkpoints.
      where: the place in the config, or the run, for messages.
    Raises:
      UserError: there is no checkpoint, the newest is missing or damaged, or the block raises another exception.
    """
    run, path = directory.parent, directory
    also = f' and {run}' if directory.name == DIRECTORIES[BEST] else ''  # going on from an older state gives no best
    mend = f'delete the result of that run, results/{run.name}.json{also}, and run its study again'
    check_files(directory)
    try:
        with ocp.training.Checkpointer(literal_path(directory)) as checkpointer:
            steps = [checkpoint.step for checkpoint in checkpointer.checkpoints]
            if not steps:
                raise UserError(f'{where}: {directory} holds no checkpoint; train that run first.')
            newest, stated = max(steps), stated_newest(directory)
            if stated is not None and stated > newest:
                raise UserError(
                    f'{where}: the checkpoint {directory / str(stated)} is missing; {mend}. To take that of step '
                    f'{newest} instead, delete {directory / NEWEST}.'
                )
            path = directory / str(newest)
            yield SavedCheckpoint(checkpointer, directory, newest)
    except UserError:
        raise
    except Exception as error:
        check_readable(error, path)
        reason = first_line(error)[:REASON]
        raise UserError(f'{where}: the checkpoint {path} is damaged ({reason}); {mend}.') from error


def stated_newest(directory: pathlib.Path) -> int | None:
    """The step of the newest checkpoint as `newest.json` says; None without that file."""
    path = directory / NEWEST
    return read_checked(path, Newest, 'delete it').content['step'] if path.exists() else None


def read_variables(directory: pathlib.Path, where: str) -> dict[str, Any]:
    """Reads the variables of all networks from the newest checkpoint in a directory, with the shapes that they have.

    Args:
      directory: the directory of the checkpoints.
      where: the run, for messages.
    Returns:
      network name -> variables, on the first device of this process.
    Raises:
      UserError: there is no readable checkpoint.
    """
    if not directory.is_dir():
        raise UserError(f'{where}: there are no checkpoints in {directory}.')
    with newest_checkpoint(directory, where) as checkpoint:
        abstract = {
            part: on_one_device(own)
            if part in ('params', 'collections')
            else jax.tree.map(lambda _: ocp.PLACEHOLDER, own)
            for part, own in checkpoint.shapes().items()
        }
        loaded = checkpoint.load(abstract)
    return moving_variables(loaded['params'], loaded['collections'])


def on_one_device(shapes: Any) -> Any:
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=device), shapes)


def _claimed_bytes(array: Any) -> int:
    """The bytes of an array, or of one chunk of it on the disk if that is larger; 0 for what is not an array."""
    if (storage := getattr(array, 'storage_metadata', None)) is None:
        return 0
    shapes = [array.shape, storage.chunk_shape or ()]
    return max(map(math.prod, shapes)) * array.dtype.itemsize


def _with_type(like: Any, saved: Any) -> Any:
    """The array `like`, to be read in the type in which it was saved."""
    if like is ocp.PLACEHOLDER:
        return like
    return jax.ShapeDtypeStruct(like.shape, saved.dtype, sharding=like.sharding)


def _refuse(path: str | None, what: str) -> None:
    if path is not None:
        raise ValueError(f'{path} {what}')
