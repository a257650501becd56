"""Saves and restores a run with Orbax: the training state and the position of the training loop.

A checkpoint stores a checksum of each of its arrays. Beside the checkpoints, `newest.json` says which is the newest, so
that a lost one is noticed.
"""

import contextlib
import errno
import functools
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from kd_jax.config.checked_json import with_checksum, write_checked
from kd_jax.config.disk_errors import check_readable, disk_errors
from kd_jax.config.errors import UserError, first_line
from kd_jax.core.state import State
from kd_jax.devices.processes import on_primary, values_of_all_processes
from kd_jax.training.array_checksums import array_checksums
from kd_jax.training.saved_checkpoints import (
    NEWEST,
    REASON,
    SavedCheckpoint,
    check_files,
    literal_path,
    on_one_device,
    stated_newest,
)

KEEP = 2
SPARE = 32  # files that Orbax may hold open while it reads
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
        self._save(int(state.step), state._asdict(), position)

    def save_variables(self, step: int, variables: Mapping[str, Any]) -> None:
        """Saves `params` and `collections` alone: a network can start from them, but no run can continue from them.

        Raises:
          UserError: as `save`.
        """
        self._save(step, variables, {'step': step})

    def _save(self, step: int, tree: Mapping[str, Any], position: Mapping[str, Any]) -> None:
        # As one text, because Orbax would write each number of the position as an array of its own.
        text = json.dumps(with_checksum({**position, 'arrays': array_checksums(tree)}))
        with disk_errors(self.directory):
            saved = {'state': dict(tree), 'data': {'step': step, 'position': text}}
            self._checkpointer.save_checkpointables(step, saved, overwrite=True)
            self._set_newest(step)

    def _set_newest(self, step: int | None) -> None:
        path = self.directory / NEWEST
        on_primary(lambda: path.unlink(missing_ok=True) if step is None else write_checked(path, {'step': step}))

    def restore(self, like: State) -> tuple[State, dict[str, Any]] | None:
        """The newest readable state and position, or None; a damaged checkpoint is skipped with a warning."""
        check_files(self.directory)
        abstract = jax.tree.map(abstract_array, like._asdict())
        saved = [checkpoint.step for checkpoint in self._checkpointer.checkpoints]
        with contextlib.suppress(UserError):  # if the file is damaged, it does not matter: it is written again
            if (newest := stated_newest(self.directory)) is not None and newest > max(saved, default=0):
                path = self.directory / str(newest)
                log.warning('%s is missing, the newest checkpoint; training goes back to the previous one.', path)
        for step in sorted(saved, reverse=True):
            path = self.directory / str(step)
            loaded, reason = self._load(step, abstract)
            everywhere = values_of_all_processes(loaded is not None, isinstance(reason, UserError))
            if loaded is not None and everywhere[:, 0].all():
                return State(**loaded[0]), loaded[1]
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

    def _load(self, step: int, abstract: Any) -> tuple[tuple[Any, dict[str, Any]] | None, str | UserError]:
        """State and position of a checkpoint, or None; and the reason for None, a UserError if it is not damaged."""
        try:
            saved = SavedCheckpoint(self._checkpointer, self.directory, step)
            position, state = saved.position, saved.load(abstract, whole=True)
            if position['step'] != int(state['step']):
                raise ValueError('its state and its data position have different steps')
        except Exception as error:
            try:
                check_readable(error, self.directory / str(step))
                _check_opens(self.directory / str(step))
            except UserError as other:
                return None, other
            return None, first_line(error)[:REASON]
        position = {key: value for key, value in position.items() if key != 'arrays'}
        return (state, position), 'another process could not read it'

    def is_intact(self, step: int) -> bool:
        """Whether the checkpoint of variables of this step is there and can be read; reads all its arrays."""
        try:
            saved = SavedCheckpoint(self._checkpointer, self.directory, step)
            saved.load(on_one_device(saved.shapes()), whole=True)
        except Exception as error:
            check_readable(error, self.directory / str(step))
            return False
        return True

    def steps(self) -> list[int]:
        """The steps of all checkpoints."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def drop_after(self, step: int) -> None:
        """Removes the checkpoints after `step`, the newest first."""
        later = [own for own in self.steps() if own > step]
        if later:
            with disk_errors(self.directory):
                self._set_newest(max((own for own in self.steps() if own <= step), default=None))
                on_primary(functools.partial(_remove, [self.directory / str(own) for own in reversed(later)]))
            self._checkpointer.reload()

    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return max(self.steps(), default=None)

    def close(self) -> None:
        """Stops the threads of Orbax; they raise the errors of earlier saves again."""
        with disk_errors(self.directory):
            self._checkpointer.close()


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
