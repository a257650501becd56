"""Checkpoints: the state of training and the position in the data, kept by Orbax; networks loaded from other runs."""

import contextlib
import errno
import functools
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from kd_jax import distributed
from kd_jax.errors import UserError, suggest
from kd_jax.metrics import flat
from kd_jax.network import Network
from kd_jax.step import State

KEEP = 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run, of which the newest two are kept."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        with disk_errors(directory):
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
        with disk_errors(self.directory):
            self._checkpointer.save_checkpointables(
                step, {'state': state._asdict(), 'data': dict(position)}, overwrite=True
            )

    def restore(self, like: State) -> tuple[State, dict[str, Any]] | None:
        """The newest state and position that can be read, or None; damaged ones are passed over with a warning."""
        abstract = jax.tree.map(_abstract, like._asdict())
        for checkpoint in sorted(self._checkpointer.checkpoints, key=lambda c: c.step, reverse=True):
            path = self.directory / str(checkpoint.step)
            loaded, reason = self._load(checkpoint.step, abstract)
            everywhere = distributed.everywhere(loaded is not None).all()
            if loaded is not None and everywhere:
                return State(**loaded['state']), loaded['data']
            aside = path.with_name(f'{path.name}.damaged')
            log.warning(
                '%s cannot be read (%s); it is now %s, and training goes back to the one before it.',
                path, reason, aside.name,
            )  # fmt: skip
            distributed.on_primary(functools.partial(_set_aside, path, aside))
            self._checkpointer.reload()
        return None

    def _load(self, step: int, abstract: Any) -> tuple[Any, str]:
        """A checkpoint, or None and why it cannot be read."""
        try:
            loaded: Any = self._checkpointer.load_checkpointables(step, {'state': abstract, 'data': None})
            if loaded['data']['step'] != int(loaded['state']['step']):
                raise ValueError('its state and its data position are of different steps')
        except Exception as error:
            return None, _first_line(error)
        return loaded, 'another process could not read it'

    def steps(self) -> list[int]:
        """The steps of all checkpoints."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def drop_after(self, step: int) -> None:
        """Removes the checkpoints of later steps, of the newest first."""
        with disk_errors(self.directory):
            for later in reversed([own for own in self.steps() if own > step]):
                shutil.rmtree(self.directory / str(later))
        self._checkpointer.reload()

    def latest(self) -> int | None:
        """The step of the newest checkpoint."""
        return max(self.steps(), default=None)

    def close(self) -> None:
        """Ends the threads of Orbax, which raise again what went wrong in a save."""
        with disk_errors(self.directory):
            self._checkpointer.close()


def _set_aside(path: pathlib.Path, aside: pathlib.Path) -> None:
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)


def load_network(network: Network, directory: pathlib.Path, source: str, shapes: Any, where: str) -> dict[str, Any]:
    """Variables for a network from the newest checkpoint of another run.

    Args:
      network: what is loaded; its `fresh` modules are left out.
      directory: of the other run.
      source: name of the network there; '' for its only trained one.
      shapes: the variables as the network's model has them, arrays or shapes; where they live, the loaded ones will.
      where: the place in the config, for messages.
    Raises:
      UserError: no checkpoint there, no such network in it, or parameters of other names or shapes.
    """
    if not (directory / 'checkpoints').is_dir():
        raise UserError(
            f"{where}: {directory} holds no checkpoints to start from; init is 'run:NAME' for a run of this study, or "
            "a run's directory."
        )
    try:
        with ocp.training.Checkpointer((directory / 'checkpoints').absolute()) as checkpointer:
            latest = max((c.step for c in checkpointer.checkpoints), default=None)
            if latest is None:
                raise UserError(f'{where}: {directory} holds no checkpoint to start from.')
            tree: Any = checkpointer.checkpointables_metadata(latest).metadata['state']
            there = {name: {'params': own, **tree['collections'].get(name, {})} for name, own in tree['params'].items()}
            source = source_for(network, source, there, shapes, where, str(directory))
            abstract: Any = jax.tree.map(lambda _: ocp.PLACEHOLDER, tree)
            for part, modules in without_fresh(shapes, network).items():
                place = abstract['params'] if part == 'params' else abstract['collections'][source]
                key = source if part == 'params' else part
                place[key] = {**place[key], **jax.tree.map(_abstract, modules)}
            loaded: Any = checkpointer.load_checkpointables(latest, {'state': abstract})['state']
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f'{where}: the checkpoint in {directory} cannot be read ({_first_line(error)}); delete the result of that '
            'run and run the same command again.'
        ) from error
    return without_fresh({'params': loaded['params'][source], **loaded['collections'].get(source, {})}, network)


def source_for(
    network: Network, source: str, there: Mapping[str, Any], own: Mapping[str, Any], where: str, origin: str
) -> str:
    """The name of the network in `there` that `network` starts from.

    Args:
      network: what starts from it; its `fresh` modules need not fit.
      source: the name asked for; '' for the only one.
      there: variables, arrays or shapes, by network.
      own: the variables as the network's model has them, arrays or shapes.
      where: the place in the config, for messages.
      origin: what `there` is, for messages.
    Raises:
      UserError: no such network, or parameters of other names or shapes.
    """
    source = source or (next(iter(there)) if len(there) == 1 else '')
    if source not in there:
        what = f'no network {source!r}' if source else 'several networks: say which, NAME/NETWORK'
        raise UserError(f'{where}: {origin} has {what}. {suggest(source, there)}')
    check_fresh(network, own, where)
    shapes = [
        {name: tuple(a.shape) for name, a in flat(without_fresh(tree, network)).items()}
        for tree in (there[source], own)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        loaded, wanted = (shape.get(name, 'missing') for shape in shapes)
        if loaded != wanted:
            raise UserError(
                f'{where} does not fit {origin}: {name} is {loaded} there and {wanted} here; make the two models alike.'
            )
    return source


def check_fresh(network: Network, own: Mapping[str, Any], where: str) -> None:
    """Raises a UserError if the network's model, of variables `own`, lacks a `fresh` module or a `part`."""
    for module in (*network.fresh, *network.part):
        if module not in own['params']:
            what = 'to start fresh' if module in network.fresh else 'to take from there'
            raise UserError(f'{where} has no module {module!r} {what}. {suggest(module, own["params"])}')


def without_fresh(variables: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Those of a network's variables that `init` gives: without its `fresh` modules, its `part` alone if it has one."""

    def given(name):
        return name not in network.fresh and (not network.part or name in network.part)

    return {
        collection: {name: tree for name, tree in modules.items() if given(name)}
        for collection, modules in variables.items()
    }


def _abstract(array: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(array, 'sharding', None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


@contextlib.contextmanager
def disk_errors(directory: pathlib.Path) -> Iterator[None]:
    """Turns a full or unwritable disk into one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        full = getattr(error, 'errno', None) in FULL or any(os.strerror(number) in str(error) for number in FULL)
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
