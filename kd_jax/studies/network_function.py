"""Makes a finished run's network a Python function. The run's data is not needed."""

import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.errors import FlaxError

from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.import_by_name import names_from_file
from kd_jax.config.references import BEST, parse_checkpoint
from kd_jax.core.forward import network_numbers, run_networks
from kd_jax.core.network import Network
from kd_jax.core.recipe import Recipe
from kd_jax.core.state import NUMBERS
from kd_jax.data.batches import evaluation_view
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.studies.finished_runs import trained_network
from kd_jax.studies.workdir import Workdir
from kd_jax.training.checkpoints import DIRECTORIES, read_variables


def load_network(workdir: pathlib.Path, run: str, network: str = '', allow: Collection[str] = ()) -> Callable[..., Any]:
    """Implements `kd_jax.load`."""
    name, checkpoint = parse_checkpoint(run)
    work = Workdir(workdir)
    run_id, result = _finished(work, name)
    where = f"run '{run_id}'"
    with names_from_file(work.result_path(run_id), result['config'], allow, _how_to_allow):
        recipe = parse_recipe(result['config'], where)
    chosen = trained_network(recipe, network, where)
    chain = _networks_behind(recipe, chosen)
    for owner in (owner for one in chain for owner in (one.of if one.update == 'shared' else (one.name,))):
        if recipe.network(owner).update == 'frozen':
            raise UserError(
                f"{where}, network '{chosen.name}' reads '{owner}', which is frozen, so its weights are not in the "
                'checkpoints of this run; choose a network that reads only the batch or trained networks.'
            )
    directory = work.directory(run_id)
    if checkpoint == BEST and result['best'] is None:
        raise UserError(f'{where} has no best checkpoint, because it was not evaluated on validation; load the last.')
    variables = read_variables(directory / DIRECTORIES[checkpoint], where)
    if numbers := network_numbers(recipe, recipe.hparams, _progress(result, checkpoint)):
        variables[NUMBERS] = jax.tree.map(np.float32, numbers)
    return _function(chain, variables, where)


def _function(chain: list[Network], variables: Mapping[str, Any], where: str) -> Callable[..., Any]:
    """The function of the last network of the chain."""
    names = list(dict.fromkeys(p.name for network in chain for p in network.inputs if p.source == 'batch'))
    last = chain[-1].name

    @jax.jit
    def run(variables, batch):
        context = {'batch': evaluation_view(batch)}
        return run_networks(chain, variables, context, jax.random.key(0), train=False)[0][last]

    def predict(images: Any, *, activations: bool = False) -> Any:
        batch = dict(images) if isinstance(images, Mapping) else {names[0]: images}
        missing = [name for name in names if name not in batch]
        if missing:
            raise UserError(f"{where}, network '{last}' reads {', '.join(names)}: give a dictionary with these arrays.")
        batch = {name: jax.numpy.asarray(batch[name]) for name in names}
        shown = ', '.join(f'{name} {list(array.shape)}' for name, array in batch.items())
        try:
            out = run(variables, batch)
        except (ValueError, TypeError, FlaxError) as error:
            reason = first_line(error).partition(' (https:')[0].rstrip('.')
            raise UserError(f"{where}, network '{last}' does not take {shown}: {reason}.") from error
        if activations:
            return out
        if 'logits' not in out:
            raise UserError(f"{where}, network '{last}' gives {', '.join(out)}: call it with activations=True.")
        return out['logits']

    return predict


def _how_to_allow(names: Sequence[str]) -> str:
    return f'If you trust that file, call kd_jax.load(..., allow={list(names)!r}).'


def _finished(workdir: Workdir, name: str) -> tuple[str, dict[str, Any]]:
    """The id and the result of a run, which may be named without its seed if it has only one.

    Raises:
      UserError: there is no such finished run, or it has several seeds.
    """
    finished = sorted(path.stem for path in workdir.path.glob('results/*.json'))
    matching = [one for one in finished if one == name or one.rpartition('-s')[0] == name]
    if len(matching) > 1:
        raise UserError(f'{workdir.path}: run {name!r} has {len(matching)} seeds; name one: {", ".join(matching)}.')
    if not matching:
        names = [one if name.rpartition('-s')[2].isdigit() else one.rpartition('-s')[0] for one in finished]
        raise UserError(f'{workdir.path} has no finished run {name!r}. {suggest(name, dict.fromkeys(names))}')
    result = workdir.result(matching[0])
    assert result is not None
    return matching[0], result


def _networks_behind(recipe: Recipe, network: Network) -> list[Network]:
    """The network, and before it all those whose activations or parameters it reads, in order of dependency."""
    needed = {network.name}
    for one in reversed(recipe.networks):
        if one.name in needed:
            needed |= {path.source for path in one.inputs if path.source != 'batch'}
    return [one for one in recipe.networks if one.name in needed]


def _progress(result: Mapping[str, Any], checkpoint: str) -> np.float32:
    """The share of the run that was done at the checkpoint; schedules are functions of it."""
    row = result[checkpoint]
    if not row['step']:
        return np.float32(0)
    return np.float32(row['step']) / np.float32(round(result['epochs'] * row['step'] / row['epoch']))
