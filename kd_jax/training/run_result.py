"""Evaluates runs during and after training, and makes the result of a run."""

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kd_jax import analyses
from kd_jax.analyses.units import units_of
from kd_jax.config.errors import UserError, first_line
from kd_jax.config.import_by_name import find_by_name, parameters_of
from kd_jax.config.json_files import json_value
from kd_jax.config.own_code import explain_own_code
from kd_jax.core.paths import parse_paths
from kd_jax.core.state import State, all_variables
from kd_jax.data.batches import batch_shapes, fetch_batch
from kd_jax.data.splits import example_count
from kd_jax.prepare.prepared_run import PreparedRun
from kd_jax.prepare.run_options import run_option
from kd_jax.training import provenance
from kd_jax.training.best_evaluation import best_row
from kd_jax.training.samples import write_samples
from kd_jax.training.stacked_runs import first_equal, shared_networks, stack_trees


def variables_now(prepared: PreparedRun, state: State, frozen: Mapping[str, Any]) -> dict[str, Any]:
    """What networks are evaluated with: their variables, and their numbers as they are at the state's step."""
    return all_variables(state, frozen, prepared.numbers_after(int(state.step)))


def measure_run(prepared: PreparedRun, state: State, frozen, splits: tuple[str, ...]) -> dict[str, Any]:
    """Evaluates a run on those of `splits` that it has; returns split -> metrics."""
    variables = variables_now(prepared, state, frozen)
    present = [split for split in splits if split in prepared.splits.arrays]
    return {split: prepared.evaluator.measure(variables, prepared.splits.arrays[split]) for split in present}


def measure_runs(
    prepared_runs: Sequence[PreparedRun],
    states: Sequence[State],
    frozen: Sequence[Mapping[str, Any]],
    splits: tuple[str, ...],
    by: str,
) -> list[dict[str, Any]]:
    """Evaluates each run of a group; returns for each run what `measure_run` returns.

    With by='vmap', the runs are evaluated together on every split that is equal for all of them. The metrics may then
    differ from those of `measure_run` by rounding.
    """
    if by != 'vmap':
        return [measure_run(*run, splits) for run in zip(prepared_runs, states, frozen, strict=True)]
    same = shared_networks(frozen)
    trained = stack_trees([variables_now(*run, {}) for run in zip(prepared_runs, states, strict=True)])
    apart = stack_trees([{name: tree for name, tree in own.items() if name not in same} for own in frozen])
    variables = {**trained, **apart, **{name: frozen[0][name] for name in same}}
    found: list[dict[str, Any]] = [{} for _ in prepared_runs]
    for split in (split for split in splits if split in prepared_runs[0].splits.arrays):
        arrays = [prepared.splits.arrays[split] for prepared in prepared_runs]
        if len(states) > 1 and len(set(first_equal(arrays))) == 1:
            measured = prepared_runs[0].evaluator.measure_runs(variables, arrays[0], len(states), same)
        else:
            measured = [measure_run(*run, (split,))[split] for run in zip(prepared_runs, states, frozen, strict=True)]
        for own, numbers in zip(found, measured, strict=True):
            own[split] = numbers
    return found


def make_result(
    prepared: PreparedRun,
    state: State,
    frozen,
    measured: Mapping[str, Any],
    position: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The result of a finished run, a JSON value.

    Args:
      prepared: the run.
      state: the training state at the end.
      frozen: variables of the frozen networks.
      measured: split -> metrics at the end, from `measure_run`.
      position: what the run's checkpoint stores. `grouped` says how the run was grouped: the first step, 'vmap' or
        'map', and the number of runs; it is empty for a run that was trained alone. `stopped` says at which step and
        why the run stopped early; it is None for other runs.
      history: the rows of all evaluations.
    """
    steps = int(state.step)
    last = {'step': steps, 'epoch': steps / max(1, prepared.order.steps_per_epoch), **measured}
    return {
        'config': prepared.config,
        **provenance.of_this_process(),
        'finished': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'parameters': {name: int(sum(a.size for a in jax.tree.leaves(tree))) for name, tree in state.params.items()},
        'steps': steps,
        'epochs': run_option(prepared.config, 'epochs'),
        'data_checksum': prepared.splits.checksum,
        **({'weight_checksums': prepared.weight_checksums} if prepared.weight_checksums else {}),
        'arrays': {
            name: [str(array.dtype), *array.shape[1:]]  # of one example
            for name, array in batch_shapes(prepared.splits.arrays['train'], 1).items()
        },
        'oversampling': prepared.splits.oversampling,
        'seconds': history[-1]['seconds'] if history else 0.0,
        'grouped': list(position['grouped']),
        'stopped': position['stopped'],
        'last': last,
        'best': best_row(prepared, history),
        'best_by': {name: one.best for name, one in prepared.evaluator.measured.items()},
        **_stated_units(prepared),
        'history': history,
        'samples': write_samples(prepared, variables_now(prepared, state, frozen)),
        'analyses': {
            name: _analyse(name, options, prepared, variables_now(prepared, state, frozen))
            for name, options in prepared.config.get('analyses', {}).items()
        },
    }


def expected_result(prepared: PreparedRun) -> dict[str, Any]:
    """What is known of a run's result before the run is trained: its config, and what it states about its numbers."""
    return {'config': prepared.config, **_stated_units(prepared)}


def _stated_units(prepared: PreparedRun) -> dict[str, Any]:
    """What a result states about its numbers: examples of each split, units of metrics and analyses, better ways."""
    return {
        'examples': {split: len(arrays['id']) for split, arrays in prepared.splits.arrays.items()},
        'metrics': prepared.evaluator.stated,
        'analysis_units': {
            name: dict(units_of(find_by_name(options['analysis'], analyses, 'analysis', prepared.where)))
            for name, options in prepared.config.get('analyses', {}).items()
        },
    }


def _predict_again(prepared: PreparedRun, variables: Any, split: str, path: Any) -> Callable[[int], np.ndarray]:
    """A function that computes the array at a path for the first examples of a split; these are fetched once.

    The axis of examples leads, also where there are copies, so that the length is the number of examples.
    """
    arrays, axis = prepared.splits.arrays[split], prepared.evaluator.stacked_axes(path)

    @functools.lru_cache(maxsize=1)
    def first(count: int) -> dict[str, Any]:
        return fetch_batch(arrays, np.arange(min(count, example_count(arrays))))

    def predict(count: int) -> np.ndarray:
        return np.moveaxis(prepared.evaluator.predict(variables, first(count), (path,), timed=True)[0], axis, 0)

    return predict


def _analyse(name: str, options: Mapping[str, Any], prepared: PreparedRun, variables) -> Any:
    """What an analysis returns, as JSON values.

    Raises:
      UserError: the user's own analysis fails, or returns what a result file cannot hold.
    """
    function = find_by_name(options['analysis'], analyses, 'analysis', prepared.where)
    positional, keywords = parameters_of(function)
    paths = tuple(parse_paths(options[key], prepared.where) for key in positional)
    splits = [s for s in options.get('splits', ('valid', 'test')) if s in prepared.splits.arrays]
    arguments: list[dict[str, Any]]
    if getattr(function, 'predicts_again', False):
        arguments = [{split: _predict_again(prepared, variables, split, path) for split in splits} for path in paths]
    else:
        read = {split: prepared.evaluator.predict(variables, prepared.splits.arrays[split], paths) for split in splits}
        arguments = [{split: read[split][i] for split in splits} for i in range(len(positional))]
    place = f"{prepared.where}, analysis '{name}'"
    with explain_own_code(f'{place} fails'):
        found = function(*arguments, **{key: options[key] for key in keywords if key in options})
    try:
        json.dumps(value := json_value(found))
    except (TypeError, ValueError) as error:
        raise UserError(
            f'{place} returns what a result file cannot hold ({first_line(error)}); return numbers, texts, arrays, and '
            'lists and dictionaries of them, and run the same command again: training is done.'
        ) from error
    return value
