"""Finds and loads what a finished run evaluates: a network, and all networks that it reads. No data is needed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from kd_jax.config.errors import UserError, suggest
from kd_jax.config.references import BEST, DIRECTORIES, RunReference, WeightsFile, parse_init
from kd_jax.core.activation_shapes import network_shapes
from kd_jax.core.forward import network_numbers
from kd_jax.core.inherited_weights import take_layers, without_fresh
from kd_jax.core.network import Network
from kd_jax.core.paths import Path
from kd_jax.core.recipe import Recipe
from kd_jax.core.state import NUMBERS
from kd_jax.data.batches import evaluation_view
from kd_jax.evaluation.evaluations import Evaluation
from kd_jax.evaluation.evaluator import Evaluator
from kd_jax.interop.stablehlo import input_names
from kd_jax.models.pretrained import Pretrained
from kd_jax.prepare.parse_recipe import parse_recipe
from kd_jax.studies.workdir import Workdir
from kd_jax.training.initial_weights import load_from_files
from kd_jax.training.saved_checkpoints import read_variables


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatedNetwork:
    """A network of a finished run as a function of the batch.

    Attributes:
      where: the run, for messages.
      result: the result of the run.
      checkpoint: 'last' or 'best'.
      path: what it gives, for example 'student.logits'.
      evaluation: the evaluation that measures `path`; None if no evaluation of the run does.
      networks: the network and those that it reads, in order of dependency.
      owners: the networks whose parameters these use, by name.
      variables: the variables of the owners, by name, and the numbers of networks that are schedules.
    """

    where: str
    result: Mapping[str, Any]
    checkpoint: str
    path: Path
    evaluation: Evaluation | None
    networks: tuple[Network, ...]
    owners: Mapping[str, Network]
    variables: Mapping[str, Any]

    @property
    def network(self) -> Network:
        return self.networks[-1]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The arrays of a batch that it reads."""
        return input_names(self.networks)

    def check_is_evaluated(self) -> None:
        """Refuses a network that its run does not evaluate, though it evaluates others: part of it may be untrained."""
        if self.evaluation is None and (others := evaluated_names(self.result)):
            raise UserError(
                f"{self.where} does not evaluate network '{self.network.name}', so its {self.path.name} may mean "
                f'nothing; what it evaluates is {", ".join(others)}: name one of these.'
            )


def finished_run(workdir: Workdir, name: str) -> tuple[str, dict[str, Any]]:
    """The id and the result of a run, which may be named without its seed if it has only one.

    Raises:
      UserError: there is no such directory or finished run, or the run has several seeds.
    """
    if not (workdir.path / 'results').is_dir():
        there = 'has no folder results' if workdir.path.is_dir() else 'is a file'
        what = there if workdir.path.exists() else 'does not exist'
        raise UserError(f'{workdir.path} {what}: give the work directory of a study that was run.')
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


def open_network(
    workdir: Workdir, run_id: str, result: Mapping[str, Any], name: str, checkpoint: str
) -> EvaluatedNetwork:
    """Loads a network of a finished run, and all networks that it reads. Its config is parsed without its terms.

    Args:
      workdir: the work directory.
      run_id: the run and its seed.
      result: its result.
      name: an evaluation or a trained network of the run; '' for its only evaluation.
      checkpoint: 'last' or 'best'.
    Raises:
      UserError: there is no such network or checkpoint, several could be meant, or the weights of a network that it
        reads cannot be found.
    """
    where = f"run '{run_id}'"
    if checkpoint == BEST and (result['best'] is None or not result['last']['step']):
        raise UserError(
            f'{where} has no best checkpoint, because it was not evaluated on validation while it trained; take the '
            'last.'
        )
    recipe = parse_recipe({**result['config'], 'terms': {}}, where)
    evaluation, path = _choose(recipe, result, name, where)
    networks = networks_behind(recipe, path.source)
    named = [name for one in networks for name in _owner_names(one)]
    owners = {name: recipe.network(name) for name in dict.fromkeys(named)}
    saves = any(owner.update != 'frozen' for owner in owners.values())  # a run that trains nothing saves nothing
    saved = read_variables(workdir.directory(run_id) / DIRECTORIES[checkpoint], where) if saves else {}
    variables = {
        name: _frozen(owner, recipe, workdir, result, where) if owner.update == 'frozen' else _own(owner, saved, where)
        for name, owner in owners.items()
    }
    if numbers := network_numbers(recipe, recipe.hparams, _progress(result, checkpoint)):
        variables[NUMBERS] = jax.tree.map(np.float32, numbers)
    return EvaluatedNetwork(where, result, checkpoint, path, evaluation, networks, owners, variables)


def _choose(recipe: Recipe, result: Mapping[str, Any], name: str, where: str) -> tuple[Evaluation | None, Path]:
    """The evaluation of that name, the only one of that network, or the only one at all; and the array it measures."""
    evaluations = Evaluator(recipe, result['config'].get('evaluate', {}), where).measured
    measured = evaluated_names(result)
    paths = {key: _measured_path(one) for key, one in evaluations.items() if key in measured}
    if name in paths:
        return evaluations[name], paths[name]
    able = [key for key, path in paths.items() if name in ('', path.source)]
    if len(able) == 1:
        return evaluations[able[0]], paths[able[0]]
    if len(able) > 1:
        shown = ', '.join(f'{key} ({paths[key]})' for key in sorted(able))
        raise UserError(f'{where} has {len(able)} evaluations: {shown}; name one of them as the network.')
    saved = [network.name for network in recipe.moving]
    if name not in saved and not (name == '' and len(saved) == 1):
        what = f'there is no trained network {name!r}' if name else f'choose one of the {len(saved)} trained networks'
        raise UserError(f'{where}: {what}. {suggest(name, {*saved, *paths})}')
    return None, Path(name or saved[0], 'logits')


def evaluated_names(result: Mapping[str, Any]) -> list[str]:
    """The evaluations that have numbers in a result."""
    return sorted({name for split in ('train', 'valid', 'test') for name in result['last'].get(split) or ()})


def _measured_path(one: Evaluation) -> Path:
    """The array that an evaluation measures: the first that it reads from a network."""
    return next((path for path in one.reads.values() if path.source != 'batch'), next(iter(one.reads.values())))


def networks_behind(recipe: Recipe, name: str) -> tuple[Network, ...]:
    """The network, and before it all those whose activations it reads, in order of dependency."""
    needed = {name}
    for one in reversed(recipe.networks):
        if one.name in needed:
            needed |= {path.source for path in one.inputs if path.source != 'batch'}
    return tuple(one for one in recipe.networks if one.name in needed)


def one_copy(found: EvaluatedNetwork, number: int) -> EvaluatedNetwork:
    """One copy of a network with stacked copies, as a network without copies, with that copy of what it reads.

    Raises:
      UserError: there is no copy of that number, or a network that it reads is a function of all copies.
    """
    place = f"{found.where}, network '{found.network.name}'"
    if not 0 <= number < found.network.copies:
        raise UserError(f'{place} has no copy {number}; its {found.network.copies} copies are numbered from 0.')
    alone = {found.network.name}
    for network in reversed(found.networks):
        if network.name in alone:
            alone |= {path.source for path, own in zip(network.inputs, network.stacked, strict=True) if own}
    cut = {name for network in found.networks if network.name in alone for name in _owner_names(network)}
    for network in found.networks:
        if network.name not in alone and (
            cut & {*_owner_names(network)} or any(p.source in alone for p in network.inputs)
        ):
            raise UserError(f"{place} reads '{network.name}', which is a function of all copies.")
    return dataclasses.replace(
        found,
        networks=tuple(_without_copies(n) if n.name in alone else n for n in found.networks),
        owners={name: _without_copies(owner) if name in cut else owner for name, owner in found.owners.items()},
        variables={
            name: jax.tree.map(lambda array: array[number], own) if name in cut else own
            for name, own in found.variables.items()
        },
    )


def _without_copies(network: Network) -> Network:
    return dataclasses.replace(network, copies=0, own_batches=False, stacked=(False,) * len(network.inputs))


def _owner_names(network: Network) -> tuple[str, ...]:
    """The networks whose parameters it uses."""
    return network.of if network.update == 'shared' else (network.name,)


def _own(network: Network, saved: Mapping[str, Any], where: str) -> Any:
    """The variables of a network that the run saved; those of a model with weights of its own get their structure."""
    if not isinstance(network.module, Pretrained):
        return saved[network.name]
    leaves, shapes = jax.tree.leaves(saved[network.name]), jax.tree.leaves(network.module.variables)
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in shapes]:
        raise UserError(f"{where}, network '{network.name}': the checkpoint does not fit its model, which has changed.")
    return jax.tree.unflatten(jax.tree.structure(network.module.variables), leaves)


def _frozen(network: Network, recipe: Recipe, workdir: Workdir, result: Mapping[str, Any], where: str) -> Any:
    """The variables of a frozen network, which its run did not save: they are read from where it took them."""
    place = f"{where}, network '{network.name}'"
    if not network.init:
        return network.module.variables if isinstance(network.module, Pretrained) else {'params': {}}
    if network.fresh:
        raise UserError(f'{place} is frozen with random modules ({", ".join(network.fresh)}), which were not saved.')
    origin = parse_init(network.init)
    if isinstance(origin, WeightsFile):
        return load_from_files(network, origin, _shapes(network, recipe, result, place), place)
    other = (
        origin.directory
        if not isinstance(origin, RunReference)
        else (workdir.directory(f'{origin.run}-s{result["seed"]}'))
    )
    there = read_variables(other / DIRECTORIES[origin.checkpoint], place)
    source = origin.network if isinstance(origin, RunReference) else ''
    source = source or (next(iter(there)) if len(there) == 1 else '')
    if source not in there:
        raise UserError(f'{place}: {network.init} has no network {source!r}. {suggest(source, there)}')
    return take_layers(without_fresh(there[source], network), network)


def _shapes(network: Network, recipe: Recipe, result: Mapping[str, Any], place: str) -> Any:
    """The shapes of a network's variables, from the arrays of the batch as the result describes them."""
    if not (batch := described_batch(result)):
        raise UserError(
            f'{place} was read from {network.init}, but the result of the run is of an older version, which does not '
            'state the shapes of its inputs; delete the result and run the study again.'
        )
    context: dict[str, Any] = {'batch': jax.eval_shape(evaluation_view, batch)}
    for one in networks_behind(recipe, network.name):
        variables, context[one.name] = network_shapes(one, context, train=False)
    return variables


def described_batch(result: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch of one example as the result describes it, `arrays`; {} for results of older versions."""
    try:
        return {
            name: jax.ShapeDtypeStruct((1, *map(int, shape)), np.dtype(dtype))
            for name, (dtype, *shape) in result.get('arrays', {}).items()
        }
    except (TypeError, ValueError):
        return {}


def _progress(result: Mapping[str, Any], checkpoint: str) -> np.float32:
    """The share of the run that was done at the checkpoint; schedules are functions of it."""
    row = result[checkpoint]
    if not row['step']:
        return np.float32(0)
    return np.float32(row['step']) / np.float32(round(result['epochs'] * row['step'] / row['epoch']))
