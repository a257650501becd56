"""Makes a finished run's network a Python function. The run's data is not needed."""

import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
from flax.errors import FlaxError

from kd_jax.config.errors import UserError, first_line
from kd_jax.config.import_by_name import names_from_file
from kd_jax.config.references import parse_checkpoint
from kd_jax.core.forward import run_networks
from kd_jax.data.batches import evaluation_view
from kd_jax.studies.evaluated_network import EvaluatedNetwork, finished_run, open_network
from kd_jax.studies.workdir import Workdir


def load_network(workdir: pathlib.Path, run: str, network: str = '', allow: Collection[str] = ()) -> Callable[..., Any]:
    """Implements `kd_jax.load`."""
    name, checkpoint = parse_checkpoint(run)
    work = Workdir(workdir)
    run_id, result = finished_run(work, name)
    read = {key: result['config'].get(key, {}) for key in ('networks', 'evaluate')}
    with names_from_file(work.result_path(run_id), read, allow, _how_to_allow):
        return _function(open_network(work, run_id, result, network, checkpoint))


def _how_to_allow(names: Sequence[str]) -> str:
    return f'If you trust that file, call kd_jax.load(..., allow={list(names)!r}).'


def _check_arrays(batch: Mapping[str, Any], where: str) -> None:
    """Refuses an empty batch, and images whose integers would not be scaled to [0, 1]."""
    for name, array in batch.items():
        if not array.size:
            raise UserError(f'{where}: {name} has shape {list(array.shape)}; give at least one example.')
        if name == 'image' and array.dtype != jax.numpy.uint8 and jax.numpy.issubdtype(array.dtype, jax.numpy.integer):
            raise UserError(
                f'{where}: the images are integers other than uint8, and only uint8 is scaled to [0, 1]; give uint8, '
                'or floats as the network was trained on.'
            )


def _function(found: EvaluatedNetwork) -> Callable[..., Any]:
    names, path, where = found.inputs, found.path, f"{found.where}, network '{found.network.name}'"

    @jax.jit
    def run(variables, batch):
        context = {'batch': evaluation_view(batch)}
        return run_networks(found.networks, variables, context, jax.random.key(0), train=False)[0][path.source]

    def predict(images: Any, *, activations: bool = False) -> Any:
        batch = dict(images) if isinstance(images, Mapping) else {names[0]: images}
        missing = [name for name in names if name not in batch]
        if missing:
            raise UserError(f'{where} reads {", ".join(names)}: give a dictionary with these arrays.')
        if not activations:
            found.check_is_evaluated()
        try:
            batch = {name: jax.numpy.asarray(batch[name]) for name in names}
        except (ValueError, TypeError) as error:
            raise UserError(f'{where} takes arrays of numbers: {first_line(error)}') from error
        _check_arrays(batch, where)
        shown = ', '.join(f'{name} {list(array.shape)}' for name, array in batch.items())
        try:
            out = run(found.variables, batch)
        except (ValueError, TypeError, FlaxError) as error:
            reason = first_line(error).partition(' (https:')[0].rstrip('.')
            raise UserError(f'{where} does not take {shown}: {reason}.') from error
        return out if activations else out[path.name]

    return predict
