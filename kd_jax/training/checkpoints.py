"""Saves and restores a run with Orbax: the training state and the position in the data."""

import contextlib
import errno
import functools
import glob
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from kd_jax.config.disk_errors import check_readable, disk_errors
from kd_jax.config.errors import UserError, first_line
from kd_jax.config.ordinary_files import check_ordinary_below
from kd_jax.config.references import BEST, LAST
from kd_jax.core.state import State, moving_variables
from kd_jax.devices.processes import on_primary, values_of_all_processes

KEEP = 2
SPARE = 32  # files that Orbax may hold open while it reads
DIRECTORIES = {LAST: 'checkpoints', BEST: 'best'}
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run; only the newest two are kept."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        with disk_errors(directory):
            _check_writable(directory)
            self._checkpointer = ocp.training.Checkpointer(
                literal_path(directory),
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=ocp.training.preservation_policies.LatestN(KEEP),
                cleanup_tmp_directories=True,
            )

    def save(self, state: State, position: Mapping[str, Any]) -> None:
        """Saves the state and the position of the training loop.

        Args:
          state: the training state.
          position: a JSON value; its `step` is the position in the data.
        Raises:
          UserError: the disk is full or cannot be written; earlier checkpoints are not changed.
        """
        self._save(int(state.step), {'state': state._asdict(), 'data': dict(position)})

    def save_variables(self, step: int, variables: Mapping[str, Any]) -> None:
        """Saves `params` and `collections` alone: a network can start from them, but no run can continue from them.

        Raises:
          UserError: as `save`.
        """
        self._save(step, {'state': dict(variables)})

    def _save(self, step: int, tree: Mapping[str, Any]) -> None:
        with disk_errors(self.directory):
            self._checkpointer.save_checkpointables(step, tree, overwrite=True)

    def restore(self, like: State) -> tuple[State, dict[str, Any]] | None:
        """The newest readable state and position, or None; a damaged checkpoint is skipped with a warning."""
        abstract = jax.tree.map(abstract_array, like._asdict())
        for checkpoint in sorted(self._checkpointer.checkpoints, key=lambda c: c.step, reverse=True):
            path = self.directory / str(checkpoint.step)
            loaded, reason = self._load(checkpoint.step, abstract)
            everywhere = values_of_all_processes(loaded is not None, isinstance(reason, UserError))
            if loaded is not None and everywhere[:, 0].all():
                return State(**loaded['state']), loaded['data']
            if everywhere[:, 1].any():
                raise reason if isinstance(reason, UserError) else UserError(f'{path}: {reason}.')
            aside = path.with_name(f'{path.name}.damaged')
            log.warning(
                '%s cannot be read (%s); it was renamed to %s, and training goes back to the previous checkpoint.',
                path, reason, aside.name,
            )  # fmt: skip
            on_primary(functools.partial(_set_aside, path, aside))
            self._checkpointer.reload()
        return None

    def _load(self, step: int, abstract: Any) -> tuple[Any, str | UserError]:
        """The checkpoint of `step`, or None; and the reason for None, a UserError if the checkpoint is not damaged."""
        try:
            loaded: Any = self._checkpointer.load_checkpointables(step, {'state': abstract, 'data': None})
            if loaded['data']['step'] != int(loaded['state']['step']):
                raise ValueError('its state and its data position have different steps')
        except Exception as error:
            try:
                check_readable(error, self.directory / str(step))
                _check_opens(self.directory / str(step))
            except UserError as other:
                return None, other
            return None, first_line(error)
        return loaded, 'another process could not read it'

    def steps(self) -> list[int]:
        """The steps of all checkpoints."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def drop_after(self, step: int) -> None:
        """Removes the checkpoints after `step`, the newest first."""
        later = [own for own in self.steps() if own > step]
        if later:
            with disk_errors(self.directory):
                on_primary(functools.partial(_remove, [self.directory / str(own) for own in reversed(later)]))
            self._checkpointer.reload()

    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return max(self.steps(), default=None)

    def close(self) -> None:
        """Stops the threads of Orbax; they raise the errors of earlier saves again."""
        with disk_errors(self.directory):
            self._checkpointer.close()


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
    check_ordinary_below(directory, links=True)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    try:
        with ocp.training.Checkpointer(literal_path(directory)) as checkpointer:
            newest = max(checkpoint.step for checkpoint in checkpointer.checkpoints)
            tree: Any = checkpointer.checkpointables_metadata(newest).metadata['state']
            abstract: Any = {
                part: jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=device), own)
                if part in ('params', 'collections')
                else jax.tree.map(lambda _: ocp.PLACEHOLDER, own)
                for part, own in tree.items()
            }
            loaded: Any = checkpointer.load_checkpointables(newest, {'state': abstract})['state']
    except Exception as error:
        check_readable(error, directory)
        raise UserError(f'{where}: the checkpoint in {directory} cannot be read ({first_line(error)}).') from error
    return moving_variables(loaded['params'], loaded['collections'])


class LiteralPath(type(epath.Path('/'))):  # type: ignore[misc]
    """A path in whose own name '[', '*' and '?' stand for themselves; Orbax finds parts of a checkpoint by a glob."""

    def glob(self, pattern: str) -> Iterator['LiteralPath']:
        return map(type(self), glob.glob(os.path.join(glob.escape(str(self)), pattern)))


def literal_path(directory: pathlib.Path) -> LiteralPath:
    """The path of a directory of checkpoints for Orbax."""
    return LiteralPath(directory.absolute())


def _check_opens(checkpoint: pathlib.Path) -> None:
    """Raises a UserError if files cannot be opened here at all. Orbax does not say so when it fails to read a part."""
    with contextlib.ExitStack() as opened:
        try:
            for path in (*[pathlib.Path(os.devnull)] * SPARE, *checkpoint.rglob('*')):
                if not path.is_dir():
                    opened.enter_context(path.open('rb'))
        except OSError as error:
            check_readable(error, checkpoint)


def _check_writable(directory: pathlib.Path) -> None:
    """Raises an OSError, before anything is trained, if checkpoints cannot be written here.

    Orbax would find out when it saves, and its threads would then wait for ten minutes.
    """
    if directory.is_dir() and not os.access(directory, os.W_OK | os.X_OK):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number))


def _remove(paths: Sequence[pathlib.Path]) -> None:
    for path in paths:
        shutil.rmtree(path)


def _set_aside(path: pathlib.Path, aside: pathlib.Path) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)


def abstract_array(array: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(array, 'sharding', None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
