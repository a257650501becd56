"""Checkpoints: the state of training and the position in the data, kept by Orbax; networks loaded from other runs."""

import contextlib
import errno
import logging
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from kd_jax.errors import UserError, suggest
from kd_jax.metrics import flat
from kd_jax.recipe import Network
from kd_jax.step import State

KEEP = 2
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run, of which the newest two are kept."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        with _disk_errors(directory):
            self._checkpointer = ocp.training.Checkpointer(
                directory.absolute(),
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=ocp.training.preservation_policies.LatestN(KEEP),
                cleanup_tmp_directories=True,
            )

    def save(self, state: State, position: Mapping[str, Any]) -> None:
        """Writes the state and where the loop is: a JSON value whose `step` is the position in the data.

        Raises:
          UserError: the disk is full or cannot be written; earlier checkpoints stay as they are.
        """
        step = int(state.step)
        with _disk_errors(self.directory):
            self._checkpointer.save_checkpointables(
                step, {'state': state._asdict(), 'data': dict(position)}, overwrite=True
            )

    def restore(self, like: State) -> tuple[State, dict[str, Any]] | None:
        """The newest state and position that can be read, or None; damaged ones are passed over with a warning."""
        abstract = jax.tree.map(_abstract, like._asdict())
        for checkpoint in sorted(self._checkpointer.checkpoints, key=lambda c: c.step, reverse=True):
            path = self.directory / str(checkpoint.step)
            try:
                loaded = self._checkpointer.load_checkpointables(checkpoint.step, {'state': abstract, 'data': None})
                if loaded['data']['step'] != int(loaded['state']['step']):
                    raise ValueError('its state and its data position are of different steps')
                return State(**loaded['state']), loaded['data']
            except Exception as error:
                log.warning('%s cannot be read (%s); going back to the one before it.', path, _first_line(error))
                shutil.rmtree(path, ignore_errors=True)
                self._checkpointer.reload()
        return None

    def latest(self) -> int | None:
        """The step of the newest checkpoint."""
        return max((checkpoint.step for checkpoint in self._checkpointer.checkpoints), default=None)

    def close(self) -> None:
        self._checkpointer.close()


def load_network(network: Network, directory: pathlib.Path, source: str, shapes: Any, where: str) -> dict[str, Any]:
    """Variables for a network from the newest checkpoint of another run.

    Args:
      network: what is loaded; its `fresh` modules are left out.
      directory: of the other run.
      source: name of the network there; '' for its only trained one.
      shapes: the variables as the network's model has them, arrays or shapes.
      where: the place in the config, for messages.
    Raises:
      UserError: no checkpoint there, no such network in it, or parameters of other names or shapes.
    """
    if not (directory / 'checkpoints').is_dir():
        raise UserError(f'{where}: {directory} holds no checkpoints to start from.')
    try:
        with ocp.training.Checkpointer((directory / 'checkpoints').absolute()) as checkpointer:
            latest = max((c.step for c in checkpointer.checkpoints), default=None)
            if latest is None:
                raise UserError(f'{where}: {directory} holds no checkpoint to start from.')
            tree: Any = checkpointer.checkpointables_metadata(latest).metadata['state']
            names = sorted(tree['params'])
            source = source or (names[0] if len(names) == 1 else '')
            if source not in names:
                raise UserError(f'{where}: {directory} has no network {source!r}. {suggest(source, names)}')
            wanted = {'params': {source}, 'collections': {source}}
            abstract = {
                part: {
                    key: jax.tree.map(_abstract if key in wanted[part] else lambda _: ocp.PLACEHOLDER, value)
                    for key, value in subtree.items()
                }
                if part in wanted
                else jax.tree.map(lambda _: ocp.PLACEHOLDER, subtree)
                for part, subtree in tree.items()
            }
            loaded: Any = checkpointer.load_checkpointables(latest, {'state': abstract})['state']
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'{where}: the checkpoint in {directory} cannot be read ({_first_line(error)}).') from error
    variables = {'params': loaded['params'][source], **loaded['collections'].get(source, {})}
    return _fitted(variables, shapes, network, f'{where}: {directory}')


def _fitted(loaded: dict[str, Any], own: dict[str, Any], network: Network, where: str) -> dict[str, Any]:
    for module in network.fresh:
        if module not in own['params']:
            hint = suggest(module, own['params'])
            raise UserError(f"{where}: network '{network.name}' has no module {module!r} to start fresh. {hint}")
    loaded, own = (
        {part: {k: v for k, v in tree.items() if k not in network.fresh} for part, tree in variables.items()}
        for variables in (loaded, own)
    )
    there, here = ({name: tuple(a.shape) for name, a in flat(tree).items()} for tree in (loaded, own))
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise UserError(
                f"{where} does not fit network '{network.name}': {name} is {there.get(name, 'missing')} there and "
                f'{here.get(name, "missing")} here.'
            )
    return loaded


def _abstract(array: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(array, 'sharding', None) or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


@contextlib.contextmanager
def _disk_errors(directory: pathlib.Path) -> Iterator[None]:
    """Turns a full or unwritable disk into one sentence."""
    try:
        yield
    except Exception as error:
        text = f'{error} {error.__cause__ or ""}'
        full = getattr(error, 'errno', None) == errno.ENOSPC or 'No space left' in text or 'Disk quota' in text
        if full or isinstance(error, OSError):
            reason = 'the disk is full: free some space' if full else f'{_first_line(error)}: make it writable'
            raise UserError(
                f'{directory} could not be written, {reason} and run the same command again; '
                'earlier checkpoints are intact.'
            ) from error
        raise


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
